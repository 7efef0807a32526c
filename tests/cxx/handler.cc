// The nothrow forms of operator new return null, also when the new handler throws: bad_alloc, as
// the standard allows it, or something else. The forms that throw let it out.
#include "testing.h"

#include <cstdint>
#include <new>

struct Other {
    static int alive;
    Other() {
        alive++;
    }
    Other(const Other &) {
        alive++;
    }
    ~Other() {
        alive--;
    }
};
int Other::alive;

static int calls;

static void throw_bad_alloc() {
    calls++;
    throw std::bad_alloc();
}

static void throw_other() {
    calls++;
    throw Other();
}

static size_t too_large(size_t size) {
    __asm__ volatile("" : "+r"(size));
    return size;
}

static const auto WIDE = std::align_val_t(64);

// Called from where nothing else would catch.
static void require_null(size_t size) noexcept {
    calls = 0;
    REQUIRE(::operator new(size, std::nothrow) == nullptr, "nothrow");
    REQUIRE(::operator new[](size, std::nothrow) == nullptr, "nothrow []");
    REQUIRE(::operator new(size, WIDE, std::nothrow) == nullptr, "aligned nothrow");
    REQUIRE(::operator new[](size, WIDE, std::nothrow) == nullptr, "aligned nothrow []");
    REQUIRE(calls == 4, "the handler was called %d times", calls);
    REQUIRE(Other::alive == 0, "%d exceptions are left", Other::alive);
}

template <class Thrown> static void require_throws(size_t size) {
    int caught = 0;
    try {
        ::operator delete(::operator new(size));
    } catch (const Thrown &) {
        caught++;
    }
    try {
        ::operator delete[](::operator new[](size, WIDE), WIDE);
    } catch (const Thrown &) {
        caught++;
    }
    REQUIRE(caught == 2, "%d exceptions of two", caught);
}

int main() {
    for (int i = 0; i < 1000; i++) {
        std::set_new_handler(throw_bad_alloc);
        require_null(too_large(PTRDIFF_MAX));
        require_throws<std::bad_alloc>(too_large(PTRDIFF_MAX));
        std::set_new_handler(throw_other);
        require_null(too_large(SIZE_MAX));
        require_throws<Other>(too_large(SIZE_MAX));
    }
    std::set_new_handler(nullptr);
    calls = -4;
    void *block = ::operator new(too_large(100), std::nothrow);
    REQUIRE(block != nullptr, "it goes on");
    ::operator delete(block);
    return 0;
}
