/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Code memory: what is published runs, stays where it is and is never writable; what happens where
 * executable memory is forbidden; the names that perf and a debugger get.
 */
#include <criterion/criterion.h>
#include <elf.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest/jitvm/jit/gdb.h"
#include "guest/jitvm/jit/memory.h"
#include "guest/jitvm/jit/perf.h"
#include "guest/jitvm/jitvm.h"

/* mov eax, n; ret */
struct answer {
    uint8_t bytes[6];
};

static struct answer answer(int32_t n)
{
    struct answer code = {{0xb8, 0, 0, 0, 0, 0xc3}};
    memcpy(code.bytes + 1, &n, sizeof(n));
    return code;
}

static const void *publish_answer(struct jit_memory *memory, int32_t n)
{
    struct answer code = answer(n);
    return jit_memory_publish(memory, code.bytes, sizeof(code.bytes), 16);
}

static int run(const void *code)
{
    int (*function)(void);
    memcpy(&function, &code, sizeof(function));
    return function();
}

static struct jit_memory *memory_of(size_t max)
{
    struct jit_memory *memory = NULL;
    cr_assert_eq(jit_memory_new(max, &memory), 0);
    return memory;
}

/* ---- publishing ------------------------------------------------------------------------------ */

Test(jit_memory, published_code_runs_aligned_and_stays_as_more_is_published)
{
    enum { MANY = 3000 };
    struct jit_memory *memory = memory_of(1 << 20);
    static const void *code[MANY];
    for (int i = 0; i < MANY; i++) {
        code[i] = publish_answer(memory, i);
        cr_assert_not_null(code[i]);
        cr_assert_eq((uintptr_t)code[i] % 16, 0);
        cr_assert_eq(run(code[i]), i);
    }
    for (int i = 0; i < MANY; i++)
        cr_assert_eq(run(code[i]), i);
    jit_memory_free(memory);
}

Test(jit_memory, code_larger_than_a_step_is_published_in_one_piece)
{
    struct jit_memory *memory = memory_of(1 << 20);
    static uint8_t large[100000];
    memset(large, 0x90, sizeof(large));
    struct answer last = answer(77);
    memcpy(large + sizeof(large) - sizeof(last), last.bytes, sizeof(last));
    cr_assert_eq(run(publish_answer(memory, 1)), 1);
    cr_assert_eq(run(jit_memory_publish(memory, large, sizeof(large), 16)), 77);
    cr_assert_eq(run(publish_answer(memory, 2)), 2);
    jit_memory_free(memory);
}

Test(jit_memory, bytes_are_counted)
{
    struct jit_memory *memory = memory_of(1 << 20);
    cr_assert_eq(jit_memory_used(memory), 0);
    cr_assert_eq(jit_memory_committed(memory), 0);
    publish_answer(memory, 1);
    publish_answer(memory, 2);
    cr_assert_eq(jit_memory_used(memory), 16 + 6);
    cr_assert_eq(jit_memory_committed(memory), 8192);
    jit_memory_free(memory);
}

Test(jit_memory, a_full_memory_refuses_and_what_was_published_still_runs)
{
    struct jit_memory *memory = memory_of(1);
    static uint8_t large[8192];
    const void *first = publish_answer(memory, 5);
    cr_assert_null(jit_memory_publish(memory, large, sizeof(large), 16));
    cr_assert_null(jit_memory_publish(memory, large, SIZE_MAX, 16));
    cr_assert_not_null(jit_memory_publish(memory, large, sizeof(large) - 16, 16));
    cr_assert_null(publish_answer(memory, 6));
    cr_assert_eq(run(first), 5);
    jit_memory_free(memory);
}

Test(jit_memory, a_size_or_alignment_that_makes_no_sense_is_refused)
{
    struct jit_memory *memory = memory_of(1 << 20), *none = NULL;
    struct answer code = answer(1);
    cr_assert_null(jit_memory_publish(memory, code.bytes, 0, 16));
    cr_assert_null(jit_memory_publish(memory, code.bytes, 6, 0));
    cr_assert_null(jit_memory_publish(memory, code.bytes, 6, 24));
    cr_assert_null(jit_memory_publish(memory, code.bytes, 6, 8192));
    cr_assert_eq(jit_memory_new(SIZE_MAX, &none), JITVM_ERR_MEMORY);
    cr_assert_eq(jit_memory_new(0, &none), JITVM_ERR_MEMORY);
    cr_assert_null(none);
    jit_memory_free(memory);
    jit_memory_free(NULL);
}

/* ---- never writable and executable ----------------------------------------------------------- */

struct seen {
    unsigned pages_of_both;
    char access[5];
};

/* What the kernel says of this process's memory. */
static struct seen look(const void *code)
{
    struct seen seen = {.access = ""};
    FILE *maps = fopen("/proc/self/maps", "r");
    cr_assert_not_null(maps);
    char line[512];
    while (fgets(line, sizeof(line), maps)) {
        unsigned long from, to;
        char access[5];
        if (sscanf(line, "%lx-%lx %4s", &from, &to, access) != 3)
            continue;
        seen.pages_of_both += access[1] == 'w' && access[2] == 'x';
        if (from <= (uintptr_t)code && (uintptr_t)code < to)
            memcpy(seen.access, access, sizeof(access));
    }
    fclose(maps);
    return seen;
}

Test(jit_memory, no_page_is_writable_and_executable)
{
    struct jit_memory *memory = memory_of(1 << 20);
    for (int i = 0; i < 5; i++) {
        struct seen seen = look(publish_answer(memory, i));
        cr_assert_eq(seen.pages_of_both, 0);
        cr_assert_str_eq(seen.access, "r-xp");
    }
    jit_memory_free(memory);
}

Test(jit_memory, writing_to_published_code_is_a_fault)
{
    struct jit_memory *memory = memory_of(1 << 20);
    const void *code = publish_answer(memory, 1);
    uint8_t *bytes;
    memcpy(&bytes, &code, sizeof(bytes));
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (!child) {
        /* A sanitizer would make a report of it. */
        signal(SIGSEGV, SIG_DFL);
        *(volatile uint8_t *)bytes = 0;
        _exit(0);
    }
    int status = 0;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    jit_memory_free(memory);
}

Test(jit_memory, code_can_publish_more_while_it_runs)
{
    /* push rbx; mov rax, rdi; mov rdi, rsi; mov esi, edx; call rax; pop rbx; neg rax; sbb eax, eax;
     * ret: the result is -1 unless the call's was NULL. It is in the page that is moved. */
    static const uint8_t caller[] = {0x53, 0x48, 0x89, 0xf8, 0x48, 0x89, 0xf7, 0x89, 0xd6,
                                     0xff, 0xd0, 0x5b, 0x48, 0xf7, 0xd8, 0x19, 0xc0, 0xc3};
    struct jit_memory *memory = memory_of(1 << 20);
    const void *code = jit_memory_publish(memory, caller, sizeof(caller), 16);
    int (*function)(const void *(*)(struct jit_memory *, int32_t), struct jit_memory *, int32_t);
    memcpy(&function, &code, sizeof(function));
    size_t before = jit_memory_used(memory);
    cr_assert_eq(function(publish_answer, memory, 9), -1, "it published");
    cr_assert_gt(jit_memory_used(memory), before);
    jit_memory_free(memory);
}

Test(jit_memory, after_a_fork_each_side_publishes_its_own)
{
    struct jit_memory *memory = memory_of(1 << 20);
    const void *before = publish_answer(memory, 1);
    pid_t child = fork();
    cr_assert_geq(child, 0);
    const void *after = publish_answer(memory, child ? 2 : 3);
    if (!child)
        _exit(run(before) == 1 && run(after) == 3 ? 0 : 1);
    int status = -1;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
    cr_assert_eq(run(after), 2);
    jit_memory_free(memory);
}

/* ---- where it is forbidden ------------------------------------------------------------------- */

/* mprotect with PROT_EXEC fails with EACCES from here on, as under a policy against such memory. */
static void forbid_exec(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 13),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};
    cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    cr_assert_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

Test(jit_memory, a_process_that_may_not_make_memory_executable_is_told_so)
{
    struct jit_memory *memory = NULL;
    forbid_exec();
    cr_assert_eq(jit_memory_new(1 << 20, &memory), JITVM_ERR_HOST);
    cr_assert_null(memory);
}

Test(jit_memory, when_it_is_forbidden_later_what_was_published_still_runs)
{
    struct jit_memory *memory = memory_of(1 << 20);
    const void *code = publish_answer(memory, 4);
    forbid_exec();
    cr_assert_null(publish_answer(memory, 5));
    cr_assert_eq(run(code), 4);
    cr_assert_eq(jit_memory_used(memory), 6);
    jit_memory_free(memory);
}

/* ---- perf ------------------------------------------------------------------------------------ */

/* The name is that of this process, which the test has for itself. */
struct map_path {
    char text[64];
};

static struct map_path map_path(void)
{
    struct map_path path;
    (void)snprintf(path.text, sizeof(path.text), "/tmp/perf-%ld.map", (long)getpid());
    unlink(path.text);
    return path;
}

static void read_text(const char *path, char *out, size_t room)
{
    FILE *f = fopen(path, "r");
    cr_assert_not_null(f);
    size_t n = fread(out, 1, room - 1, f);
    out[n] = 0;
    fclose(f);
}

/* A number for the address, so that the text can be compared. */
static const void *at(uintptr_t address)
{
    const void *out;
    memcpy(&out, &address, sizeof(out));
    return out;
}

Test(jit_perf, each_function_is_a_line_of_the_map)
{
    struct map_path path = map_path();
    cr_assert_eq(jit_perf_add(at(0x1000), 32, "jitvm:fib"), 0);
    cr_assert_eq(jit_perf_add(at(0xabcdef012340), 0x1234, "two\nlines"), 0);
    char text[256];
    read_text(path.text, text, sizeof(text));
    cr_expect_str_eq(text, "1000 20 jitvm:fib\nabcdef012340 1234 two?lines\n");
    struct stat st;
    cr_assert_eq(stat(path.text, &st), 0);
    cr_expect_eq(st.st_mode & 0777, 0600);
    unlink(path.text);
}

Test(jit_perf, a_link_or_pipe_in_the_place_of_the_map_is_not_followed)
{
    struct map_path path = map_path();
    cr_assert_eq(symlink("/tmp/elsewhere", path.text), 0);
    cr_expect_eq(jit_perf_add(at(0x1000), 32, "f"), JITVM_ERR_IO);
    unlink(path.text);
    cr_assert_eq(mkfifo(path.text, 0600), 0);
    cr_expect_eq(jit_perf_add(at(0x1000), 32, "f"), JITVM_ERR_IO);
    unlink(path.text);
}

Test(jit_perf, a_long_name_is_cut)
{
    struct map_path path = map_path();
    char name[1000], text[2000];
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = 0;
    cr_assert_eq(jit_perf_add(at(0x1000), 32, name), 0);
    read_text(path.text, text, sizeof(text));
    cr_expect_eq(strlen(text), strlen("1000 20 ") + 199 + 1);
    unlink(path.text);
}

/* ---- gdb ------------------------------------------------------------------------------------- */

/* As a debugger sees it. */
struct code_entry {
    struct code_entry *next, *prev;
    const char *file;
    uint64_t size;
};
extern struct {
    uint32_t version, action;
    struct code_entry *relevant, *first;
} __jit_debug_descriptor;

static unsigned entries(void)
{
    unsigned n = 0;
    for (struct code_entry *e = __jit_debug_descriptor.first; e; e = e->next) {
        cr_assert(!e->next || e->next->prev == e);
        n++;
    }
    return n;
}

Test(jit_gdb, functions_are_in_the_list_until_they_are_removed)
{
    struct jit_gdb *a = jit_gdb_add(at(0x1000), 16, "a"), *b = jit_gdb_add(at(0x2000), 16, "b"),
                   *c = jit_gdb_add(at(0x3000), 16, "c");
    cr_assert_eq(__jit_debug_descriptor.version, 1);
    cr_assert_eq(entries(), 3);
    jit_gdb_remove(b);
    cr_assert_eq(entries(), 2);
    jit_gdb_remove(c);
    cr_assert_eq(entries(), 1);
    jit_gdb_remove(a);
    cr_assert_eq(entries(), 0);
    jit_gdb_remove(NULL);
}

Test(jit_gdb, the_file_is_an_elf_object_with_the_function_at_its_address)
{
    struct jit_gdb *gdb = jit_gdb_add(at(0x123450), 77, "jitvm:main");
    const char *file = __jit_debug_descriptor.first->file;
    Elf64_Ehdr header;
    memcpy(&header, file, sizeof(header));
    cr_assert_arr_eq(header.e_ident, ELFMAG, SELFMAG);
    Elf64_Shdr sections[4];
    cr_assert_eq(header.e_shnum, 4);
    memcpy(sections, file + header.e_shoff, sizeof(sections));
    cr_expect_eq(sections[1].sh_addr, 0x123450);
    cr_expect_eq(sections[1].sh_size, 77);
    Elf64_Sym symbol;
    memcpy(&symbol, file + sections[2].sh_offset + sizeof(symbol), sizeof(symbol));
    cr_expect_eq(symbol.st_size, 77);
    cr_expect_str_eq(file + sections[3].sh_offset + symbol.st_name, "jitvm:main");
    cr_expect_leq(sections[3].sh_offset + sections[3].sh_size, __jit_debug_descriptor.first->size);
    jit_gdb_remove(gdb);
}
