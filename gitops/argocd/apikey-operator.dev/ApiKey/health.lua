-- Health of an ApiKey. The verdicts are those of kstatus (`kubectl wait`, `helm --wait`, Flux), with
-- one more word: a key that is suspended as declared is Suspended where kstatus says Current.
local health = {status = "Progressing", message = "Waiting for the operator"}

if obj.metadata.deletionTimestamp ~= nil then
  health.message = "Being deleted"
  return health
end
-- What the status says is about an earlier spec, or nothing yet (observedGeneration is -1 then).
if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return health
end

local conditions = {}
for _, condition in ipairs(obj.status.conditions or {}) do
  conditions[condition.type] = condition
end
local function holds(type)
  return conditions[type] ~= nil and conditions[type].status == "True"
end

if conditions["Ready"] ~= nil then
  health.message = conditions["Ready"].message
end
if holds("Reconciling") then
  return health
end
if holds("Stalled") then
  health.status = "Degraded"
elseif holds("Ready") and holds("Suspended") then
  health.status = "Suspended"
elseif holds("Ready") then
  health.status = "Healthy"
end
return health
