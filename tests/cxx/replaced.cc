// A program that replaces some of the operators new and delete. The standard says which of the
// others call those, and libstdc++ does as it says: whoever brings the others must do so, too.
//   SINGLE, ARRAY, ALIGNED, ALIGNED_ARRAY: the pair that is replaced; none of them: nothing is
#include "testing.h"

#include <cstdlib>
#include <new>

// There is none before lucid is preloaded.
extern "C" __attribute__((weak)) size_t lucid_malloc_usable_size(const void *block) noexcept;

static int made;
static int ended;
static bool refuses;

// Behind a header, so that lucid knows none of these blocks.
static const size_t HEADER = 64;

[[maybe_unused]] static void *make(size_t size) {
    made++;
    char *start = refuses ? nullptr : static_cast<char *>(std::malloc(size + HEADER));
    if (start == nullptr) {
        throw std::bad_alloc();
    }
    return start + HEADER;
}

[[maybe_unused]] static void end(void *block) {
    ended++;
    if (block != nullptr) {
        std::free(static_cast<char *>(block) - HEADER);
    }
}

// clang-format off
#if defined(SINGLE)
void *operator new(size_t size) { return make(size); }
void operator delete(void *block) noexcept { end(block); }
#elif defined(ARRAY)
void *operator new[](size_t size) { return make(size); }
void operator delete[](void *block) noexcept { end(block); }
#elif defined(ALIGNED)
void *operator new(size_t size, std::align_val_t) { return make(size); }
void operator delete(void *block, std::align_val_t) noexcept { end(block); }
#elif defined(ALIGNED_ARRAY)
void *operator new[](size_t size, std::align_val_t) { return make(size); }
void operator delete[](void *block, std::align_val_t) noexcept { end(block); }
#endif
// clang-format on

static const size_t SIZE = 10;
static const auto WIDE = std::align_val_t(32);
static const auto &QUIET = std::nothrow;

// One form of new and one of delete: both call the program's, or neither does.
template <class New, class Delete>
static void require(const char *name, bool replaced, New make_one, Delete end_one) {
    made = 0;
    ended = 0;
    void *block = make_one();
    __asm__ volatile("" : "+r"(block));
    REQUIRE(block != nullptr, "%s", name);
    REQUIRE(made == (replaced ? 1 : 0), "%s: the program's new is called %d times", name, made);
    REQUIRE(replaced || lucid_malloc_usable_size(block) >= SIZE, "%s: lucid's", name);
    end_one(block);
    REQUIRE(ended == (replaced ? 1 : 0), "%s: its delete is called %d times", name, ended);
    end_one(static_cast<void *>(nullptr));
}

#define NEW(...) [] { return ::operator new(__VA_ARGS__); }
#define NEW_ARRAY(...) [] { return ::operator new[](__VA_ARGS__); }
#define DELETE(...) [](void *block) { ::operator delete(__VA_ARGS__); }
#define DELETE_ARRAY(...) [](void *block) { ::operator delete[](__VA_ARGS__); }

static void singles(bool replaced) {
    require("new", replaced, NEW(SIZE), DELETE(block));
    require("sized delete", replaced, NEW(SIZE), DELETE(block, SIZE));
    require("nothrow", replaced, NEW(SIZE, QUIET), DELETE(block, QUIET));
    require("sized delete of nothrow", replaced, NEW(SIZE, QUIET), DELETE(block, SIZE));
}

static void arrays(bool replaced) {
    require("new[]", replaced, NEW_ARRAY(SIZE), DELETE_ARRAY(block));
    require("sized delete[]", replaced, NEW_ARRAY(SIZE), DELETE_ARRAY(block, SIZE));
    require("nothrow []", replaced, NEW_ARRAY(SIZE, QUIET), DELETE_ARRAY(block, QUIET));
}

static void aligned(bool replaced) {
    require("aligned new", replaced, NEW(SIZE, WIDE), DELETE(block, WIDE));
    require("sized aligned delete", replaced, NEW(SIZE, WIDE), DELETE(block, SIZE, WIDE));
    require("aligned nothrow", replaced, NEW(SIZE, WIDE, QUIET), DELETE(block, WIDE, QUIET));
}

static void aligned_arrays(bool replaced) {
    require("aligned new[]", replaced, NEW_ARRAY(SIZE, WIDE), DELETE_ARRAY(block, WIDE));
    require("sized aligned delete[]", replaced, NEW_ARRAY(SIZE, WIDE),
            DELETE_ARRAY(block, SIZE, WIDE));
    require("aligned nothrow []", replaced, NEW_ARRAY(SIZE, WIDE, QUIET),
            DELETE_ARRAY(block, WIDE, QUIET));
}

// A nothrow form catches what the program's own throws.
static void refused(void *(*make_one)()) {
    made = 0;
    refuses = true;
    REQUIRE(make_one() == nullptr && made == 1, "a nothrow form is refused after %d calls", made);
    refuses = false;
}

int main() {
#if defined(SINGLE)
    const bool single = true, array = true, wide = false, wide_array = false;
    refused(NEW(SIZE, QUIET));
    refused(NEW_ARRAY(SIZE, QUIET));
#elif defined(ARRAY)
    const bool single = false, array = true, wide = false, wide_array = false;
    refused(NEW_ARRAY(SIZE, QUIET));
#elif defined(ALIGNED)
    const bool single = false, array = false, wide = true, wide_array = true;
    refused(NEW(SIZE, WIDE, QUIET));
    refused(NEW_ARRAY(SIZE, WIDE, QUIET));
#elif defined(ALIGNED_ARRAY)
    const bool single = false, array = false, wide = false, wide_array = true;
    refused(NEW_ARRAY(SIZE, WIDE, QUIET));
#else
    const bool single = false, array = false, wide = false, wide_array = false;
#endif
    singles(single);
    arrays(array);
    aligned(wide);
    aligned_arrays(wide_array);
    return 0;
}
