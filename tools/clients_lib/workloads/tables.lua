-- Tables, strings, closures and coroutines; prints checksums. The arguments are modes of the collector, else both.
local state = 12345
local function rnd(n)
  state = (state * 1103515245 + 12345) & 0x7fffffff
  return (state >> 8) % n
end

local function word()
  local letters = {}
  for i = 1, 1 + rnd(12) do letters[i] = string.char(97 + rnd(26)) end
  return table.concat(letters)
end

local function sum(list)
  local s = 0
  for _, text in ipairs(list) do
    for i = 1, #text do s = (s * 31 + text:byte(i)) % 4294967291 end
  end
  return s
end

local function index()
  local found, keys = {}, {}
  for i = 1, 200000 do
    local w = word()
    if not found[w] then
      found[w] = {}
      keys[#keys + 1] = w
    end
    table.insert(found[w], i)
  end
  table.sort(keys)
  local lines = {}
  for i, key in ipairs(keys) do lines[i] = key .. table.concat(found[key], ",") end
  print("index", #keys, sum(lines))
end

local function closures()
  local makers = {}
  for i = 1, 300000 do makers[i % 5000 + 1] = function(x) return {x, i, tostring(x + i)} end end
  local lines = {}
  for i, make in ipairs(makers) do lines[i] = make(i)[3] end
  print("closures", sum(lines))
end

local function coroutines()
  local total = 0
  for i = 1, 20000 do
    local step = coroutine.wrap(function(a)
      for j = 1, 5 do a = a + coroutine.yield(a * j) end
    end)
    for j = 1, 5 do total = (total + step(i + j)) % 1000000007 end
  end
  print("coroutines", total)
end

local function text()
  local parts = {}
  for i = 1, 100000 do parts[i] = word() end
  local body = table.concat(parts, " ")
  for _ = 1, 3 do
    local count
    body, count = body:gsub("([aeiou])(%w)", "%2%1")
    print("text", #body, count, sum({body:sub(1, 50000)}))
  end
end

for _, mode in ipairs(#arg > 0 and arg or {"incremental", "generational"}) do
  collectgarbage(mode)
  index()
  closures()
  coroutines()
  text()
end
collectgarbage()
