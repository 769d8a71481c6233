-- Ends the overlap: from now on the replaced secret is refused.
if obj.status ~= nil and obj.status.previousSecret ~= nil then
  if obj.metadata.annotations == nil then
    obj.metadata.annotations = {}
  end
  local revision = tostring(obj.status.previousSecret.revision)
  obj.metadata.annotations["apikey-operator.dev/discard-previous"] = revision
end
return obj
