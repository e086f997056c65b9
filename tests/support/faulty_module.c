/* A PKCS#11 module that is SoftHSM, and misbehaves on command: the file that FAULTS names holds lines such as
 *   C_Sign hang          the call never returns
 *   C_Sign 0x30          the call answers that error (here CKR_DEVICE_ERROR)
 *   C_Sign 0x30 once     the same, and the file is removed
 *   C_Sign exit          the process dies
 * Every call of these functions is noted in the file that CALLS names.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef unsigned long word;
typedef word (*function)(word, word, word, word, word);
struct list { unsigned char version[2]; function functions[68]; };

static struct list *real, ours;

static word injected(const char *name)
{
    char line[128], function[64], fault[32], once[16];
    word answer = 0;
    FILE *calls = fopen(getenv("CALLS"), "a");
    if (calls) {
        fprintf(calls, "%s\n", name);
        fclose(calls);
    }
    FILE *faults = fopen(getenv("FAULTS"), "r");
    if (!faults)
        return 0;
    while (fgets(line, sizeof line, faults)) {
        int words = sscanf(line, "%63s %31s %15s", function, fault, once);
        if (words < 2 || strcmp(function, name))
            continue;
        if (!strcmp(fault, "hang"))
            for (;;)
                pause();
        if (!strcmp(fault, "exit"))
            _exit(1);
        answer = strtoul(fault, NULL, 16);
        if (words == 3)
            remove(getenv("FAULTS"));
    }
    fclose(faults);
    return answer;
}

/* The real function is called in any case, so that its operation does not stay open. */
#define FORWARD(name, place)                                            \
    static word faulty_##name(word a, word b, word c, word d, word e)  \
    {                                                                   \
        word fault = injected(#name);                                   \
        word answer = real->functions[place](a, b, c, d, e);            \
        return fault ? fault : answer;                                  \
    }

FORWARD(C_Initialize, 0)
FORWARD(C_Login, 18)
FORWARD(C_Sign, 43)

/* Without a place for the signature the call only asks how long it will be. */
static word faulty_or_length(word a, word b, word c, word d, word e)
{
    return d ? faulty_C_Sign(a, b, c, d, e) : real->functions[43](a, b, c, d, e);
}

word C_GetFunctionList(struct list **list)
{
    if (!real) {
        void *module = dlopen(getenv("REAL_MODULE"), RTLD_NOW | RTLD_LOCAL);
        word (*get)(struct list **) = module ? dlsym(module, "C_GetFunctionList") : NULL;
        if (!get || get(&real))
            return 5;
        ours = *real;
        ours.functions[0] = faulty_C_Initialize;
        ours.functions[18] = faulty_C_Login;
        ours.functions[43] = faulty_or_length;
    }
    *list = &ours;
    return 0;
}
