// Injected failures: lets a test make the nth call of a kind fail. Absent from release builds.
#include "os.h"

#if LUCID_CHECKED || LUCID_STRESS

static struct {
    _Atomic uint64_t calls;
    _Atomic uint64_t fail_from; // 0: never
    _Atomic uint64_t fail_to;
} plans[OS_CALL_COUNT];

bool os_fault(enum os_call call) {
    uint64_t number = atomic_fetch_add(&plans[call].calls, 1) + 1;
    uint64_t from = atomic_load(&plans[call].fail_from);
    return from != 0 && number >= from && number <= atomic_load(&plans[call].fail_to);
}

uint64_t os_inject(enum os_call call, uint64_t nth, bool forever) {
    uint64_t calls = atomic_load(&plans[call].calls);
    atomic_store(&plans[call].fail_from, nth == 0 ? 0 : calls + nth);
    atomic_store(&plans[call].fail_to, forever ? UINT64_MAX : calls + nth);
    return calls;
}

#else

bool os_fault(enum os_call call) {
    (void)call;
    return false;
}

uint64_t os_inject(enum os_call call, uint64_t nth, bool forever) {
    (void)call, (void)nth, (void)forever;
    return 0;
}

#endif
