/* Gives Paddle 2.3 and older back the private symbol _dl_sym that glibc removed in 2.34.
 *
 * core_avx.so asks for _dl_sym@GLIBC_PRIVATE to find the C library's own functions behind its hooks. Answering
 * with the public dlvsym does the same. Built into libdlsym-x86_64.so by (no start files, no other library):
 *
 *   gcc -O2 -s -shared -fPIC -nostdlib -fno-stack-protector -fcf-protection=none \
 *       -Wl,--version-script=dl_sym.map,--build-id=none,-z,noseparate-code,-z,noexecstack \
 *       -o libdlsym-x86_64.so dl_sym.c -lc
 */
#define RTLD_NEXT ((void *)-1L)

extern void *dlvsym(void *handle, const char *name, const char *version);

void *_dl_sym(void *handle, const char *name, void *who) {
    (void)handle; /* RTLD_NEXT in every call that Paddle makes */
    (void)who;
    void *found = dlvsym(RTLD_NEXT, name, "GLIBC_2.34");
    return found ? found : dlvsym(RTLD_NEXT, name, "GLIBC_2.2.5");
}
