/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a host does with a VM besides running it: values on its heap, and functions and ops of the
 * host's own, by name. What needs no VM is in value/public.c.
 */
#include "guest/jitvm/value/grow.h"
#include "guest/jitvm/vm/vm.h"

#include <stdlib.h>
#include <string.h>

/* ---- values --------------------------------------------------------------------------------- */

void jitvm_release(struct jitvm *vm, struct jitvm_value value)
{
    value_release(&vm->heap, value);
}

int jitvm_str(struct jitvm *vm, const void *bytes, size_t len, struct jitvm_value *out)
{
    struct jitvm_str *str = str_new(&vm->heap, len ? bytes : "", len);
    if (!str)
        return vm_raise_heap(vm);
    *out = (struct jitvm_value){.kind = JITVM_STR, .as.str = str};
    return 0;
}

int jitvm_array(struct jitvm *vm, struct jitvm_value *out)
{
    struct jitvm_array *array = array_new(&vm->heap, 0);
    if (!array)
        return vm_raise_heap(vm);
    *out = (struct jitvm_value){.kind = JITVM_ARRAY, .as.array = array};
    return 0;
}

int jitvm_hash(struct jitvm *vm, struct jitvm_value *out)
{
    struct jitvm_hash *hash = hash_new(&vm->heap);
    if (!hash)
        return vm_raise_heap(vm);
    *out = (struct jitvm_value){.kind = JITVM_HASH, .as.hash = hash};
    return 0;
}

int jitvm_array_push(struct jitvm *vm, struct jitvm_value *array, struct jitvm_value value)
{
    int rc = 0;
    if (array->kind != JITVM_ARRAY)
        rc = jitvm_raise(vm, JITVM_ERR_TYPE, "push to %s", value_kind_name(array->kind));
    else if (array_own(&vm->heap, &array->as.array) < 0)
        rc = vm_raise_heap(vm);
    if (rc < 0) {
        value_release(&vm->heap, value);
        return rc;
    }
    return array_push(&vm->heap, array->as.array, value) < 0 ? vm_raise_heap(vm) : 0;
}

/* Where the value of the key goes, or NULL, raised. */
static struct jitvm_value *place_for(struct jitvm *vm, struct jitvm_value *hash,
                                     struct jitvm_value key)
{
    if (hash->kind != JITVM_HASH) {
        jitvm_raise(vm, JITVM_ERR_TYPE, "a key of %s", value_kind_name(hash->kind));
        return NULL;
    }
    struct jitvm_value *place = NULL;
    if (hash_own(&vm->heap, &hash->as.hash) == 0)
        place = hash_place(&vm->heap, hash->as.hash, key);
    if (!place)
        vm_raise_heap(vm);
    return place;
}

int jitvm_hash_set(struct jitvm *vm, struct jitvm_value *hash, struct jitvm_value key,
                   struct jitvm_value value)
{
    struct jitvm_value *place = place_for(vm, hash, key);
    if (!place) {
        value_release(&vm->heap, value);
        return hash->kind == JITVM_HASH ? JITVM_ERR_HEAP : JITVM_ERR_TYPE;
    }
    cell_set(vm, place, value);
    return 0;
}

int jitvm_to_str(struct jitvm *vm, struct jitvm_value value, struct jitvm_value *out)
{
    struct jitvm_str *str = value_to_str(&vm->heap, value);
    if (!str)
        return vm_raise_heap(vm);
    *out = (struct jitvm_value){.kind = JITVM_STR, .as.str = str};
    return 0;
}

static int push_arg(struct heap *heap, struct jitvm_array *array, const char *arg)
{
    struct jitvm_str *str = str_new(heap, arg, strlen(arg));
    if (!str)
        return -1;
    return array_push(heap, array, (struct jitvm_value){.kind = JITVM_STR, .as.str = str});
}

int jitvm_set_args(struct jitvm *vm, unsigned count, const char *const *args,
                   struct jitvm_error *err)
{
    struct jitvm_array *array = array_new(&vm->heap, count);
    for (unsigned i = 0; array && i < count; i++) {
        if (push_arg(&vm->heap, array, args[i]) < 0) {
            object_release(&vm->heap, &array->object);
            array = NULL;
        }
    }
    if (!array)
        return chunk_fail(err, JITVM_ERR_HEAP, "arguments: more heap than allowed");
    cell_set(vm, &vm->args, (struct jitvm_value){.kind = JITVM_ARRAY, .as.array = array});
    return 0;
}

/* ---- natives -------------------------------------------------------------------------------- */

uint32_t vm_find_native(const struct jitvm *vm, const char *name)
{
    for (uint32_t i = 0; i < vm->native_count; i++) {
        if (strcmp(vm->natives[i].name, name) == 0)
            return i;
    }
    return VM_NO_NATIVE;
}

uint32_t vm_find_extension(const struct jitvm *vm, const char *name)
{
    for (uint32_t i = 0; i < vm->extension_count; i++) {
        if (strcmp(vm->extensions[i].name, name) == 0)
            return i;
    }
    return VM_NO_NATIVE;
}

static int natives_reserve(struct jitvm *vm, uint32_t more)
{
    struct jitvm_native *natives =
        grow(vm->natives, &vm->native_room, (size_t)vm->native_count + more, sizeof *natives);
    if (!natives)
        return -1;
    vm->natives = natives;
    return 0;
}

static int append_native(struct jitvm *vm, const struct jitvm_native *native)
{
    char *name = natives_reserve(vm, 1) == 0 ? strdup(native->name) : NULL;
    if (!name)
        return -1;
    struct jitvm_native *added = &vm->natives[vm->native_count++];
    *added = *native;
    added->name = name;
    return 0;
}

int vm_register_builtins(struct jitvm *vm)
{
    static const struct jitvm_native *(*const tables[])(unsigned *) = {
        builtins_core, builtins_io, builtins_strings, builtins_containers, builtins_math,
    };
    if (natives_reserve(vm, 128) < 0)
        return -1;
    for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++) {
        unsigned count;
        const struct jitvm_native *table = tables[t](&count);
        for (unsigned i = 0; i < count; i++) {
            if (append_native(vm, &table[i]) < 0)
                return -1;
        }
    }
    return 0;
}

int jitvm_register(struct jitvm *vm, const struct jitvm_native *native, struct jitvm_error *err)
{
    if (!native->name || !native->fn || native->min_args > native->max_args ||
        native->result > JITVM_KINDS)
        return chunk_fail(err, JITVM_ERR_VALUE, "%s: not a proper host function",
                          native->name ? native->name : "(no name)");
    if (vm->chunk)
        return chunk_fail(err, JITVM_ERR_VALUE, "%s: registered after the chunk was loaded",
                          native->name);
    uint32_t old = vm_find_native(vm, native->name);
    if (old == VM_NO_NATIVE)
        return append_native(vm, native) < 0 ? chunk_fail(err, JITVM_ERR_MEMORY, "no memory") : 0;
    const char *name = vm->natives[old].name;
    vm->natives[old] = *native;
    vm->natives[old].name = name;
    return 0;
}

/* ---- extension ops -------------------------------------------------------------------------- */

static int append_extension(struct jitvm *vm, const struct jitvm_extension *extension)
{
    struct jitvm_extension *extensions = grow(vm->extensions, &vm->extension_room,
                                              (size_t)vm->extension_count + 1, sizeof *extensions);
    if (!extensions)
        return -1;
    vm->extensions = extensions;
    char *name = strdup(extension->name);
    if (!name)
        return -1;
    struct jitvm_extension *added = &vm->extensions[vm->extension_count++];
    *added = *extension;
    added->name = name;
    return 0;
}

int jitvm_register_extension(struct jitvm *vm, const struct jitvm_extension *extension,
                             struct jitvm_error *err)
{
    if (!extension->name || !extension->fn || extension->pushes > 1)
        return chunk_fail(err, JITVM_ERR_VALUE, "%s: not a proper extension op",
                          extension->name ? extension->name : "(no name)");
    if (vm->chunk)
        return chunk_fail(err, JITVM_ERR_VALUE, "%s: registered after the chunk was loaded",
                          extension->name);
    uint32_t old = vm_find_extension(vm, extension->name);
    if (old == VM_NO_NATIVE)
        return append_extension(vm, extension) < 0 ? chunk_fail(err, JITVM_ERR_MEMORY, "no memory")
                                                   : 0;
    const char *name = vm->extensions[old].name;
    vm->extensions[old] = *extension;
    vm->extensions[old].name = name;
    return 0;
}

/* Names are our own copies: const for those who look at them. */
static void free_name(const char *name)
{
    free((void *)(uintptr_t)name);
}

void vm_natives_free(struct jitvm *vm)
{
    for (uint32_t i = 0; i < vm->native_count; i++)
        free_name(vm->natives[i].name);
    for (uint32_t i = 0; i < vm->extension_count; i++)
        free_name(vm->extensions[i].name);
    free(vm->natives);
    free(vm->extensions);
    vm->natives = NULL;
    vm->extensions = NULL;
    vm->native_count = vm->extension_count = 0;
    vm->native_room = vm->extension_room = 0;
}
