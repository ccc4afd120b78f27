-- SPDX-License-Identifier: Apache-2.0
-- Sun and four planets, n steps: floats in small arrays.
local sqrt = math.sqrt

local function energy(x, y, z, vx, vy, vz, mass)
    local e = 0.0
    for i = 1, 5 do
        e = e + 0.5 * mass[i] * (vx[i] * vx[i] + vy[i] * vy[i] + vz[i] * vz[i])
        for j = i + 1, 5 do
            local dx, dy, dz = x[i] - x[j], y[i] - y[j], z[i] - z[j]
            e = e - mass[i] * mass[j] / sqrt(dx * dx + dy * dy + dz * dz)
        end
    end
    return e
end

local function run(n)
    local sun = 39.47841760435743
    local x = {0.0, 4.84143144246472090, 8.34336671824457987, 12.8943695621391310, 15.3796971148509165}
    local y = {0.0, -1.16032004402742839, 4.12479856412430479, -15.1111514016986312, -25.9193146099879641}
    local z = {0.0, -0.103622044471123109, -0.403523417114321381, -0.223307578892655734, 0.179258772950371181}
    local vx = {0.0, 0.606326392995832, -1.01077434617879236, 1.08279100644153536, 0.979090732243897976}
    local vy = {0.0, 2.81198684491626016, 1.82566237123041186, 0.868713018169608219, 0.594698998647676060}
    local vz = {0.0, -0.0252183616598876288, 0.00841576137658415351, -0.0108326374013636358, -0.0347559555078104031}
    local mass = {sun, 0.0376936749096154651, 0.0112863261319687668, 0.00172372405705971279, 0.00203368686992463042}
    local px, py, pz = 0.0, 0.0, 0.0
    for i = 1, 5 do
        px = px + vx[i] * mass[i]
        py = py + vy[i] * mass[i]
        pz = pz + vz[i] * mass[i]
    end
    vx[1] = -px / sun
    vy[1] = -py / sun
    vz[1] = -pz / sun
    local dt = 0.01
    for _ = 1, n do
        for i = 1, 5 do
            for j = i + 1, 5 do
                local dx, dy, dz = x[i] - x[j], y[i] - y[j], z[i] - z[j]
                local d2 = dx * dx + dy * dy + dz * dz
                local mag = dt / (d2 * sqrt(d2))
                local mi, mj = mass[i] * mag, mass[j] * mag
                vx[i] = vx[i] - dx * mj
                vy[i] = vy[i] - dy * mj
                vz[i] = vz[i] - dz * mj
                vx[j] = vx[j] + dx * mi
                vy[j] = vy[j] + dy * mi
                vz[j] = vz[j] + dz * mi
            end
        end
        for i = 1, 5 do
            x[i] = x[i] + dt * vx[i]
            y[i] = y[i] + dt * vy[i]
            z[i] = z[i] + dt * vz[i]
        end
    end
    return string.format("%.9f", energy(x, y, z, vx, vy, vz, mass))
end

io.write("nbody ", run(tonumber(arg[1]) or 500000), "\n")
