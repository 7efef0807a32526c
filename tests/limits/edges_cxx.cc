// The edges of operator new: what cannot be had throws std::bad_alloc or is null, after the new
// handler had its chance; sizes of nothing and large alignments are served.
#include "testing.h"

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <initializer_list>
#include <new>

#include <sys/resource.h>

static size_t hide(size_t size) {
    __asm__ volatile("" : "+r"(size));
    return size;
}

template <typename Call> static bool throws(Call call) {
    try {
        void *volatile kept = call(); // or the compiler leaves the call out
        ::operator delete(kept);
    } catch (const std::bad_alloc &) {
        return true;
    }
    return false;
}

static void require_refused(size_t size) {
    const auto wide = std::align_val_t(4096);
    REQUIRE(throws([=] { return ::operator new(size); }), "operator new(%zx) throws", size);
    REQUIRE(throws([=] { return ::operator new[](size); }), "operator new[](%zx) throws", size);
    REQUIRE(throws([=] { return ::operator new(size, wide); }), "aligned operator new(%zx) throws",
            size);
    REQUIRE(throws([=] { return ::operator new[](size, wide); }), "aligned operator new[](%zx)",
            size);
    REQUIRE(::operator new(size, std::nothrow) == nullptr, "nothrow new(%zx)", size);
    REQUIRE(::operator new[](size, std::nothrow) == nullptr, "nothrow new[](%zx)", size);
    REQUIRE(::operator new(size, wide, std::nothrow) == nullptr, "aligned nothrow new(%zx)", size);
    REQUIRE(::operator new[](size, wide, std::nothrow) == nullptr, "aligned new[](%zx)", size);
}

static int handled;

static void give_up_at_the_third_time() {
    if (++handled == 3) {
        std::set_new_handler(nullptr);
    }
}

static void handler_is_called() {
    std::set_new_handler(give_up_at_the_third_time);
    REQUIRE(::operator new(hide(SIZE_MAX), std::nothrow) == nullptr, "no memory");
    REQUIRE(handled == 3, "the new handler was called %d times", handled);
}

// Bytes of addresses that this process uses.
static size_t address_space() {
    unsigned long pages = 0;
    std::FILE *file = std::fopen("/proc/self/statm", "r");
    REQUIRE(file != nullptr && std::fscanf(file, "%lu", &pages) == 1, "/proc/self/statm");
    (void)std::fclose(file);
    return pages * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

static void *spare;

static void give_back_the_spare() {
    ::operator delete(spare);
    spare = nullptr;
    std::set_new_handler(nullptr);
}

// What the handler gives back is what is asked for then.
static void handler_makes_room() {
    const size_t size = static_cast<size_t>(100) << 20;
    spare = ::operator new(size);
    struct rlimit before = {};
    REQUIRE(getrlimit(RLIMIT_AS, &before) == 0, "the limit");
    struct rlimit now = before;
    now.rlim_cur = address_space() + size / 2;
    REQUIRE(setrlimit(RLIMIT_AS, &now) == 0, "a limit");
    std::set_new_handler(give_back_the_spare);
    void *block = ::operator new(size);
    REQUIRE(block != nullptr && spare == nullptr, "the handler has made room");
    ::operator delete(block);
    REQUIRE(setrlimit(RLIMIT_AS, &before) == 0, "no limit");
}

static void require_served(size_t size, size_t alignment) {
    void *block = ::operator new(size, std::align_val_t(alignment));
    REQUIRE(reinterpret_cast<uintptr_t>(block) % alignment == 0, "%zx at %zx", size, alignment);
    memset(block, 1, size);
    ::operator delete(block, size, std::align_val_t(alignment));
}

int main() {
    for (const size_t size : {SIZE_MAX, SIZE_MAX - 100, static_cast<size_t>(PTRDIFF_MAX) + 1,
                              static_cast<size_t>(PTRDIFF_MAX) - 4096}) {
        require_refused(hide(size));
    }
    handler_is_called();
    handler_makes_room();
    void *first = ::operator new(hide(0));
    void *second = ::operator new(hide(0));
    REQUIRE(first != second, "blocks of nothing differ");
    ::operator delete(first);
    ::operator delete(second, static_cast<size_t>(0));
    for (size_t alignment = 1; alignment <= (static_cast<size_t>(1) << 24); alignment *= 2) {
        require_served(1, alignment);
        require_served(5000, alignment);
        require_served(100000, alignment);
    }
    std::puts("every edge holds");
    return 0;
}
