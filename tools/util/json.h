// A JSON writer that cannot produce a missing comma or an unescaped string.
// Addresses are strings of lower-case hexadecimal digits, because a double cannot hold 64 bits.
#ifndef LUCID_UTIL_JSON_H
#define LUCID_UTIL_JSON_H

#include "out.h"

#define JSON_DEPTH_MAX 32

struct json {
    struct out *out;
    unsigned depth;
    bool has_member[JSON_DEPTH_MAX];
};

void json_start(struct json *json, struct out *out);

// `key` is NULL inside an array and at the top.
void json_open_object(struct json *json, const char *key);
void json_close_object(struct json *json);
void json_open_array(struct json *json, const char *key);
void json_close_array(struct json *json);
void json_number(struct json *json, const char *key, uint64_t number);
void json_signed(struct json *json, const char *key, int64_t number);
void json_fraction(struct json *json, const char *key, double number);
void json_address(struct json *json, const char *key, uint64_t address);
void json_string(struct json *json, const char *key, const char *text);
void json_bytes(struct json *json, const char *key, const void *bytes, size_t length); // as hex
void json_bool(struct json *json, const char *key, bool value);
void json_null(struct json *json, const char *key);

// Puts the comma, if one is due, before a member that the caller writes by hand.
void json_separate(struct json *json);

#endif
