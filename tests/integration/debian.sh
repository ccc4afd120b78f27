# SPDX-License-Identifier: Apache-2.0
# Guests whose root is a real Debian: scripts/debian-image has put it into the store.

export THAW_IMAGES=$build/test/images

test_python_runs_from_a_debian_image() {
    run_thaw run debian --memory 256M -- python3 -c 'import os, sys
print(1)
open("/var/tmp/new", "w").write("overlay")
print(open("/var/tmp/new").read(), os.uname().sysname, sys.version_info[:2])'
    expect_status 0
    expect_out "$(printf '1\noverlay Linux (3, 11)')"
}

# What the packages' own checksums say of every file, read through EROFS and the disk.
test_every_file_of_a_debian_image_is_as_its_package_has_it() {
    run_thaw run debian --memory 256M -- sh -c 'cat /etc/debian_version; dpkg --verify && echo intact'
    expect_status 0
    expect_out_has intact
    ! grep -q '^..5' "$work/out" || fail "files differ"
}
