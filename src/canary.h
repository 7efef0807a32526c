// The canary behind every small block of hardened mode. Pure functions of the block's address and
// the process's secret (root.fixed.mark), so that a reader of another process can check them too.
//
//   block                         block + asked            block + size of its class
//   ├── what the program asked for ──┼── slack, one byte value ──┼── canary word ──┤
//
// canary word = key ^ slack << CANARY_SLACK_SHIFT, in the machine's byte order. A write that runs
// over the end meets the slack or the six low bytes of the key first. Neither holds a zero byte
// in front, because the commonest overflow of all writes a single zero.
#ifndef LUCID_CANARY_H
#define LUCID_CANARY_H

#include "base.h"

#define CANARY_BYTES 8u
#define CANARY_SLACK_SHIFT 48u

// Freed blocks are filled with this byte. As a pointer it is an address no program can use.
#define CANARY_FREED 0xdbu

static inline uint64_t canary_key(uint64_t secret, uint64_t block) {
    uint64_t key = (secret ^ block) * 0x9e3779b97f4a7c15u;
    return (key ^ key >> 29) | 0x0101u;
}

// The byte that fills the slack.
static inline uint8_t canary_fill(uint64_t key) {
    return (uint8_t)(key >> 8);
}

static inline uint64_t canary_word(uint64_t key, uint64_t slack) {
    return key ^ slack << CANARY_SLACK_SHIFT;
}

// The slack a word tells of; more than `room` bytes: the word is damaged.
// pre: room, the size of the class without the canary, is less than 2^16.
static inline uint64_t canary_slack(uint64_t key, uint64_t word, uint64_t room) {
    uint64_t mixed = key ^ word;
    bool sound = (mixed & (((uint64_t)1 << CANARY_SLACK_SHIFT) - 1)) == 0 &&
                 mixed >> CANARY_SLACK_SHIFT <= room;
    return sound ? mixed >> CANARY_SLACK_SHIFT : UINT64_MAX;
}

#endif
