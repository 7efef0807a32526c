// The same from C++, through operator new and the containers.
#include <lucid.h>

#include <cstdio>
#include <map>
#include <memory>
#include <string>

struct alignas(256) wide {
    char bytes[300];
};

int main() {
    std::map<int, std::string> words;
    for (int i = 0; i < 1000; i++) {
        words[i] = std::string(100, 'x') + std::to_string(i);
    }
    auto one = std::make_unique<wide>();
    if (reinterpret_cast<std::size_t>(one.get()) % 256 != 0) {
        return 1;
    }
    if (lucid_malloc_usable_size(words[7].data()) < words[7].size() + 1 ||
        lucid_malloc_usable_size(one.get()) < sizeof(wide)) {
        return 2;
    }
    lucid_free(new int[50]);
    std::printf("lucid %s\n", lucid_version());
    return 0;
}
