// The same for the operators of C++.
//   misuse_cxx NAME
#include "testing.h"

#include <cstdio>
#include <cstring>
#include <new>

static void *announce(void *pointer) {
    char text[40];
    int length = std::snprintf(text, sizeof(text), "%p\n", pointer);
    REQUIRE(write(STDOUT_FILENO, text, static_cast<size_t>(length)) == length, "standard output");
    __asm__ volatile("" : "+r"(pointer));
    return pointer;
}

static void delete_twice() {
    void *block = announce(::operator new(40));
    ::operator delete(block);
    ::operator delete(announce(block));
}

static void delete_array_twice() {
    void *block = announce(::operator new[](40));
    ::operator delete[](block);
    ::operator delete[](announce(block));
}

static void sized_delete_too_small() {
    ::operator delete(announce(::operator new(200)), static_cast<size_t>(100));
}

static void sized_delete_too_large() {
    ::operator delete(announce(::operator new(100)), static_cast<size_t>(200));
}

static void sized_delete_array() {
    ::operator delete[](announce(::operator new[](5000)), static_cast<size_t>(50));
}

static void sized_delete_large() {
    ::operator delete(announce(::operator new(500000)), static_cast<size_t>(400));
}

static void sized_delete_small_as_large() {
    ::operator delete(announce(::operator new(400)), static_cast<size_t>(500000));
}

static void sized_delete_twice() {
    void *block = announce(::operator new(100));
    ::operator delete(block, static_cast<size_t>(100));
    ::operator delete(announce(block), static_cast<size_t>(100));
}

static void aligned_delete_wrong_alignment() {
    // No block lies at such an address; every 64th first block does at a multiple of 1 MiB.
    const auto wrong = std::align_val_t(static_cast<size_t>(1) << 40);
    ::operator delete(announce(::operator new(100)), wrong);
}

static void sized_aligned_delete_too_large() {
    const auto wide = std::align_val_t(64);
    ::operator delete[](announce(::operator new[](200, wide)), static_cast<size_t>(5000), wide);
}

static void delete_stack() {
    alignas(16) char local[32] = {};
    ::operator delete(announce(local));
}

struct alignas(256) Wide {
    char bytes[256];
};

static void nothing_wrong() {
    announce(nullptr);
    for (size_t size = 0; size < 100000; size = size * 3 / 2 + 1) {
        ::operator delete(::operator new(size), size);
        ::operator delete[](::operator new[](size), size);
    }
    delete new Wide;
    delete[] new Wide[3];
    delete static_cast<int *>(nullptr);
    ::operator delete(nullptr, static_cast<size_t>(10));
    const auto wide = std::align_val_t(64);
    ::operator delete(::operator new(10, std::nothrow), std::nothrow);
    ::operator delete[](::operator new[](10, std::nothrow), std::nothrow);
    ::operator delete(::operator new(10, wide, std::nothrow), wide, std::nothrow);
    ::operator delete[](::operator new[](10, wide, std::nothrow), wide, std::nothrow);
}

static const struct {
    const char *name;
    void (*run)();
} cases[] = {
    {"delete_twice", delete_twice},
    {"delete_array_twice", delete_array_twice},
    {"sized_delete_too_small", sized_delete_too_small},
    {"sized_delete_too_large", sized_delete_too_large},
    {"sized_delete_array", sized_delete_array},
    {"sized_delete_large", sized_delete_large},
    {"sized_delete_small_as_large", sized_delete_small_as_large},
    {"sized_delete_twice", sized_delete_twice},
    {"aligned_delete_wrong_alignment", aligned_delete_wrong_alignment},
    {"sized_aligned_delete_too_large", sized_aligned_delete_too_large},
    {"delete_stack", delete_stack},
    {"nothing_wrong", nothing_wrong},
};

int main(int count, char **values) {
    for (const auto &one : cases) {
        if (count == 2 && std::strcmp(values[1], one.name) == 0) {
            one.run();
            return 0;
        }
    }
    std::fprintf(stderr, "misuse_cxx: no such case\n");
    return 64;
}
