// The numbers of `lucid explain`, put into sentences.
#ifndef LUCID_EXPLAIN_STORY_H
#define LUCID_EXPLAIN_STORY_H

#include "reasons.h"
#include "target_text.h"

enum topic { TOPIC_RESIDENT, TOPIC_HOLDS, TOPIC_RETURNS, TOPIC_COUNT };

extern const char *const topic_names[TOPIC_COUNT];
extern const char *const topic_titles[TOPIC_COUNT];

#define STORY_SENTENCES 32u

struct sentence {
    enum topic topic;
    char text[480];
};

struct story {
    struct sentence list[STORY_SENTENCES];
    size_t count;
    char next[TARGET_TEXT + 32]; // the command to run next
    char because[240];
};

void story_tell(struct story *story, const struct reasons *reasons, const struct session *session);

#endif
