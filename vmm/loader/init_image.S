/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's init as data. INIT_OCI is its path, given by the Makefile. */
    .section .rodata
    .global init_oci_image, init_oci_image_end
    .balign 8
init_oci_image:
    .incbin INIT_OCI
init_oci_image_end:
    .section .note.GNU-stack, "", @progbits
