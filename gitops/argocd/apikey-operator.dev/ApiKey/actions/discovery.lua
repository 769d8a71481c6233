local status = obj.status or {}
local suspended = obj.spec.suspended == true
-- An expired key is not brought back: another ApiKey takes its place.
local expired = status.phase == "Expired"

local actions = {}
actions["rotate"] = {["disabled"] = expired}
actions["discard-previous"] = {["disabled"] = status.previousSecret == nil}
actions["suspend"] = {["disabled"] = suspended or expired}
actions["resume"] = {["disabled"] = not suspended}
return actions
