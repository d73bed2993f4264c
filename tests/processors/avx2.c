/* Preloaded, it hides AVX-512, VNNI and AMX from a program, whichever library asks.
 *
 * The kernel makes CPUID trap (arch_prctl(ARCH_SET_CPUID), Linux on x86-64 processors with CPUID faulting); the handler
 * runs the instruction itself and clears the bits. Threads and forked children inherit the trap, an executed program
 * gets it from the preloaded constructor. Handlers that the program installs for SIGSEGV are called for all other
 * faults.
 *
 * Bits of leaf 7: Intel's Software Developer's Manual, volume 2, CPUID.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define ARCH_SET_CPUID 0x1012
#define BIT(n) (1u << (n))

/* leaf 7, subleaf 0. EBX: F, DQ, IFMA, PF, ER, CD, BW, VL */
static const unsigned EBX0 = BIT(16) | BIT(17) | BIT(21) | BIT(26) | BIT(27) | BIT(28) | BIT(30) | BIT(31);
/* ECX: VBMI, VBMI2, VNNI, BITALG, VPOPCNTDQ */
static const unsigned ECX0 = BIT(1) | BIT(6) | BIT(11) | BIT(12) | BIT(14);
/* EDX: 4VNNIW, 4FMAPS, VP2INTERSECT, AMX-BF16, FP16, AMX-TILE, AMX-INT8 */
static const unsigned EDX0 = BIT(2) | BIT(3) | BIT(8) | BIT(22) | BIT(23) | BIT(24) | BIT(25);
/* subleaf 1. EAX: AVX-VNNI, AVX512_BF16, AMX-FP16, AVX-IFMA; EDX: AVX-VNNI-INT8, AVX-NE-CONVERT, AVX-VNNI-INT16, AVX10 */
static const unsigned EAX1 = BIT(4) | BIT(5) | BIT(21) | BIT(23);
static const unsigned EDX1 = BIT(4) | BIT(5) | BIT(10) | BIT(19);

static int (*real_sigaction)(int, const struct sigaction *, struct sigaction *);
static struct sigaction theirs; /* what the program wants to happen at SIGSEGV */

static long trap(int on) { return syscall(SYS_arch_prctl, ARCH_SET_CPUID, on ? 0UL : 1UL); }

static void answer(greg_t *registers) {
    unsigned leaf = (unsigned)registers[REG_RAX], sub = (unsigned)registers[REG_RCX], a, b, c, d;
    trap(0);
    __asm__ volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(leaf), "c"(sub));
    trap(1);
    if (leaf == 7 && sub == 0) {
        b &= ~EBX0;
        c &= ~ECX0;
        d &= ~EDX0;
    } else if (leaf == 7 && sub == 1) {
        a &= ~EAX1;
        d &= ~EDX1;
    }
    registers[REG_RAX] = a;
    registers[REG_RBX] = b;
    registers[REG_RCX] = c;
    registers[REG_RDX] = d;
    registers[REG_RIP] += 2;
}

static void on_fault(int number, siginfo_t *info, void *context) {
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    const unsigned char *code = (const unsigned char *)registers[REG_RIP];
    struct sigaction none;
    /* a general protection fault: the instruction could be read, so looking at it is safe */
    if (info->si_code == SI_KERNEL && code[0] == 0x0f && code[1] == 0xa2) {
        answer(registers);
    } else if (theirs.sa_flags & SA_SIGINFO) {
        theirs.sa_sigaction(number, info, context);
    } else if (theirs.sa_handler != SIG_DFL && theirs.sa_handler != SIG_IGN) {
        theirs.sa_handler(number);
    } else {
        memset(&none, 0, sizeof none);
        real_sigaction(SIGSEGV, &none, NULL); /* the instruction is tried again and ends the program */
        if (info->si_code <= 0) raise(SIGSEGV); /* it was sent: no instruction is to blame */
    }
}

static void find(void) {
    if (!real_sigaction) *(void **)&real_sigaction = dlsym(RTLD_NEXT, "sigaction");
}

int sigaction(int number, const struct sigaction *wanted, struct sigaction *before) {
    find();
    if (number != SIGSEGV) return real_sigaction(number, wanted, before);
    if (before) *before = theirs;
    if (wanted) theirs = *wanted;
    return 0;
}

sighandler_t signal(int number, sighandler_t handler) {
    struct sigaction wanted, before;
    memset(&wanted, 0, sizeof wanted);
    wanted.sa_handler = handler;
    wanted.sa_flags = SA_RESTART;
    return sigaction(number, &wanted, &before) ? SIG_ERR : before.sa_handler;
}

__attribute__((constructor)) static void start(void) {
    struct sigaction wanted;
    find();
    memset(&wanted, 0, sizeof wanted);
    wanted.sa_sigaction = on_fault;
    wanted.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
    real_sigaction(SIGSEGV, &wanted, NULL);
    if (trap(1)) {
        static const char said[] = "avx2.so: this processor cannot trap CPUID\n";
        _exit(write(2, said, sizeof said - 1) < 0 ? 99 : 98);
    }
}
