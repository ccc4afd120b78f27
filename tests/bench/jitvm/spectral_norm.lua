-- SPDX-License-Identifier: Apache-2.0
-- The spectral norm of an n by n matrix that is computed, not stored: calls with floats.
local floor, sqrt = math.floor, math.sqrt

local function a(i, j)
    local ij = i + j
    return 1.0 / (floor(ij * (ij + 1) / 2) + i + 1)
end

local function times(v, n)
    local out = {}
    for i = 0, n - 1 do
        local sum = 0.0
        for j = 0, n - 1 do
            sum = sum + a(i, j) * v[j]
        end
        out[i] = sum
    end
    return out
end

local function times_transposed(v, n)
    local out = {}
    for i = 0, n - 1 do
        local sum = 0.0
        for j = 0, n - 1 do
            sum = sum + a(j, i) * v[j]
        end
        out[i] = sum
    end
    return out
end

local function run(n)
    local u, v = {}, nil
    for i = 0, n - 1 do u[i] = 1.0 end
    for _ = 1, 10 do
        v = times_transposed(times(u, n), n)
        u = times_transposed(times(v, n), n)
    end
    local uv, vv = 0.0, 0.0
    for i = 0, n - 1 do
        uv = uv + u[i] * v[i]
        vv = vv + v[i] * v[i]
    end
    return string.format("%.9f", sqrt(uv / vv))
end

io.write("spectral_norm ", run(tonumber(arg[1]) or 600), "\n")
