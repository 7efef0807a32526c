// False sharing. active: threads that allocate at the same time must not get blocks on one cache
// line. passive: blocks that one thread allocated side by side are freed by others, which must
// not then allocate again from that shared line.
// Arguments: active|passive THREADS ROUNDS WRITES SIZE
#include "team.h"

struct plan {
    uint32_t rounds;
    uint32_t writes;
    uint32_t size;
    unsigned char *first[TEAM_MOST]; // what each thread frees before it starts, or NULL
};

static uint64_t scribble(unsigned char *p, const struct plan *plan) {
    volatile unsigned char *bytes = p;
    for (uint32_t i = 0; i < plan->writes; i++) {
        bytes[i % plan->size] = (unsigned char)(bytes[i % plan->size] + 1);
    }
    return bytes[0];
}

static void *work(void *member) {
    struct member *me = member;
    const struct plan *plan = me->shared;
    free(plan->first[me->index]);
    for (uint32_t round = 0; round < plan->rounds; round++) {
        unsigned char *p = must(malloc(plan->size));
        memset(p, 0, plan->size);
        me->sum += scribble(p, plan);
        free(p);
    }
    return NULL;
}

int main(int argc, char **argv) {
    static struct member team[TEAM_MOST];
    static struct plan plan;
    if (argc < 2 || (strcmp(argv[1], "active") != 0 && strcmp(argv[1], "passive") != 0)) {
        fprintf(stderr, "%s: the first argument must be active or passive\n", argv[0]);
        return 64;
    }
    uint32_t threads = argument(argc, argv, 2, 2);
    plan.rounds = argument(argc, argv, 3, 20000);
    plan.writes = argument(argc, argv, 4, 1000);
    plan.size = argument(argc, argv, 5, 8);
    for (uint32_t i = 0; strcmp(argv[1], "passive") == 0 && i < threads && i < TEAM_MOST; i++) {
        plan.first[i] = must(malloc(plan.size));
    }
    return report(team_run(team, threads, work, &plan));
}
