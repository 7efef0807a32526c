// C++ objects of a thread whose constructors and destructors allocate, and one that the thread's
// last destructor touches for the first time.
#include "testing.h"

#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

static thread_local std::map<int, std::string> numbers;
static thread_local std::vector<std::unique_ptr<std::string>> words;

struct Last {
    ~Last() {
        // Runs after or before the others': what they left must still be usable.
        std::vector<std::string> fresh;
        for (int i = 0; i < 100; i++) {
            fresh.push_back(std::string(static_cast<size_t>(i), 'x'));
        }
        REQUIRE(fresh[99].size() == 99, "%zu", fresh[99].size());
    }
};

static void work(int seed) {
    static thread_local Last last;
    (void)&last;
    for (int i = 0; i < 200; i++) {
        numbers[i * seed % 97] = std::string(static_cast<size_t>(i), 'n');
        words.push_back(std::make_unique<std::string>(std::to_string(i)));
    }
    REQUIRE(*words[10] == "10", "%s", words[10]->c_str());
}

int main() {
    size_t before = test_resident(); // the C library's code for that is resident from here on
    for (int i = 0; i < 7000; i++) {
        std::thread thread(work, i + 1);
        thread.join();
        if (i == 2000) { // by then the helper has been there, and its code is resident
            before = test_resident();
        }
    }
    size_t after = test_resident();
    size_t growth = after > before ? after - before : 0;
    std::printf("5000 threads more with thread_local objects: %zu bytes of growth\n", growth);
    REQUIRE(growth <= 100 * 5000, "%zu bytes", growth);
    return 0;
}
