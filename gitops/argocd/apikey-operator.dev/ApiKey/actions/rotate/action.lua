-- Asks for a new secret; the replaced one stays accepted for the overlap that the spec declares.
local os = require("os")
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["apikey-operator.dev/rotate-requested-at"] = os.date("!%Y-%m-%dT%XZ")
return obj
