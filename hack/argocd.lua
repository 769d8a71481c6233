-- Runs a script of gitops/argocd like Argo CD: with the object as `obj`, and with only these of Lua's libraries:
-- the basic functions, `table`, and date and time of `os`.
--
--   lua hack/argocd.lua SCRIPT <OBJECT.json
--
-- Prints what the script returns as JSON. Needs Lua 5.1 or later, or LuaJIT, and nothing else.

local byte, char, find, format, sub = string.byte, string.char, string.find, string.format, string.sub
local floor, gsub, concat, sort = math.floor, string.gsub, table.concat, table.sort

-- JSON. The parser marks arrays, because an empty table could be an array or an object.
local arrays = setmetatable({}, {__mode = "k"})
local text, at

local function fail(what)
  error(format("not JSON at byte %d: %s", at, what), 0)
end

local function utf8(code)
  if code < 0x80 then
    return char(code)
  elseif code < 0x800 then
    return char(0xC0 + floor(code / 0x40), 0x80 + code % 0x40)
  elseif code < 0x10000 then
    return char(0xE0 + floor(code / 0x1000), 0x80 + floor(code / 0x40) % 0x40, 0x80 + code % 0x40)
  end
  return char(0xF0 + floor(code / 0x40000), 0x80 + floor(code / 0x1000) % 0x40,
    0x80 + floor(code / 0x40) % 0x40, 0x80 + code % 0x40)
end

local function blank()
  at = find(text, "[^ \t\r\n]", at) or #text + 1
end

local function expect(mark)
  blank()
  if sub(text, at, at) ~= mark then
    fail("no " .. mark)
  end
  at = at + 1
end

local escapes = {b = "\b", f = "\f", n = "\n", r = "\r", t = "\t"}

local function read_string()
  expect('"')
  local parts = {}
  while true do
    local stop = find(text, '["\\]', at) or fail("no end of a string")
    parts[#parts + 1] = sub(text, at, stop - 1)
    at = stop + 1
    if sub(text, stop, stop) == '"' then
      return concat(parts)
    end
    local mark = sub(text, at, at)
    at = at + 1
    if mark == "u" then
      local code = tonumber(sub(text, at, at + 3), 16) or fail("an escape")
      at = at + 4
      if code >= 0xD800 and code < 0xDC00 then
        local low = tonumber(sub(text, at + 2, at + 5), 16) or fail("half a character")
        code = 0x10000 + (code - 0xD800) * 0x400 + (low - 0xDC00)
        at = at + 6
      end
      parts[#parts + 1] = utf8(code)
    else
      parts[#parts + 1] = escapes[mark] or mark
    end
  end
end

local read

local function read_object()
  local object = {}
  expect("{")
  blank()
  if sub(text, at, at) == "}" then
    at = at + 1
    return object
  end
  while true do
    blank()
    local key = read_string()
    expect(":")
    object[key] = read()
    blank()
    if sub(text, at, at) == "}" then
      at = at + 1
      return object
    end
    expect(",")
  end
end

local function read_array()
  local array = {}
  arrays[array] = true
  expect("[")
  blank()
  if sub(text, at, at) == "]" then
    at = at + 1
    return array
  end
  while true do
    array[#array + 1] = read()
    blank()
    if sub(text, at, at) == "]" then
      at = at + 1
      return array
    end
    expect(",")
  end
end

function read()
  blank()
  local mark = sub(text, at, at)
  if mark == "{" then
    return read_object()
  elseif mark == "[" then
    return read_array()
  elseif mark == '"' then
    return read_string()
  end
  local first, last = find(text, "^[%w.+-]+", at)
  local word = first and sub(text, first, last) or fail("no value")
  at = last + 1
  if word == "true" or word == "false" then
    return word == "true"
  elseif word == "null" then
    return nil
  end
  return tonumber(word) or fail(word)
end

local function quote(value)
  return '"' .. gsub(value, '[%c"\\]', function(c) return format("\\u%04x", byte(c)) end) .. '"'
end

local function show(value)
  local kind = type(value)
  if kind == "string" then
    return quote(value)
  elseif kind == "number" and value == floor(value) then
    return format("%d", value)
  elseif kind ~= "table" then
    return tostring(value)
  end
  local parts = {}
  if arrays[value] or #value > 0 then
    for _, item in ipairs(value) do
      parts[#parts + 1] = show(item)
    end
    return "[" .. concat(parts, ",") .. "]"
  end
  local keys = {}
  for key in pairs(value) do
    keys[#keys + 1] = key
  end
  sort(keys)
  for _, key in ipairs(keys) do
    parts[#parts + 1] = quote(key) .. ":" .. show(value[key])
  end
  return "{" .. concat(parts, ",") .. "}"
end

local path = arg[1] or error("usage: lua hack/argocd.lua SCRIPT <OBJECT.json", 0)
text, at = io.read("*a"), 1
local object = read()

-- Argo CD's `os` has these two functions, scripts may `require` it, and strings have no methods.
local safe_os = {date = os.date, time = os.time}
local sandbox = {
  assert = assert, error = error, ipairs = ipairs, next = next, pairs = pairs, pcall = pcall,
  print = print, select = select, tonumber = tonumber, tostring = tostring, type = type,
  unpack = unpack, table = table, os = safe_os, obj = object,
  require = function(name)
    return name == "os" and safe_os or error("no library of Argo CD: " .. name, 0)
  end,
}
local script
if setfenv then
  script = setfenv(assert(loadfile(path)), sandbox)
else
  script = assert(loadfile(path, "t", sandbox))
end
debug.setmetatable("", nil)
local result = script()
if type(result) ~= "table" then
  error(path .. " returned no table", 0)
end
io.write(show(result), "\n")
