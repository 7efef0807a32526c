#include "json.h"

#include "name.h"

#include <string.h>

void json_start(struct json *json, struct out *out) {
    memset(json, 0, sizeof(*json));
    json->out = out;
}

void json_separate(struct json *json) {
    if (json->has_member[json->depth]) {
        // Rows of an array begin a line each, so that a heap can be read by eye and by grep.
        out_text(json->out, json->depth <= 2 ? ",\n" : ",");
    }
    json->has_member[json->depth] = true;
}

static void quoted(struct out *out, const char *text) {
    const unsigned char *byte = (const unsigned char *)text;
    out_char(out, '"');
    while (*byte != 0) {
        size_t length = utf8_length(byte);
        if (*byte == '"' || *byte == '\\') {
            out_char(out, '\\');
            out_char(out, (char)*byte);
            length = 1;
        } else if (*byte < 0x20) {
            out_format(out, "\\u%04x", (unsigned)*byte);
            length = 1;
        } else if (length == 0) {
            out_text(out, "\\ufffd");
            length = 1;
        } else {
            out_bytes(out, (const char *)byte, length);
        }
        byte += length;
    }
    out_char(out, '"');
}

static void begin(struct json *json, const char *key) {
    if (json->depth > 0) {
        json_separate(json);
    }
    if (key != NULL) {
        quoted(json->out, key);
        out_char(json->out, ':');
    }
}

static void open_level(struct json *json, const char *key, char bracket) {
    begin(json, key);
    out_char(json->out, bracket);
    if (json->depth + 1 < JSON_DEPTH_MAX) {
        json->depth++;
    }
    json->has_member[json->depth] = false;
}

static void close_level(struct json *json, char bracket) {
    out_char(json->out, bracket);
    json->depth--;
    if (json->depth == 0) {
        out_char(json->out, '\n');
    }
}

void json_open_object(struct json *json, const char *key) {
    open_level(json, key, '{');
}

void json_close_object(struct json *json) {
    close_level(json, '}');
}

void json_open_array(struct json *json, const char *key) {
    open_level(json, key, '[');
}

void json_close_array(struct json *json) {
    close_level(json, ']');
}

void json_number(struct json *json, const char *key, uint64_t number) {
    begin(json, key);
    out_number(json->out, number);
}

void json_signed(struct json *json, const char *key, int64_t number) {
    begin(json, key);
    out_format(json->out, "%lld", (long long)number);
}

void json_fraction(struct json *json, const char *key, double number) {
    begin(json, key);
    out_format(json->out, "%.4f", number);
}

void json_address(struct json *json, const char *key, uint64_t address) {
    begin(json, key);
    out_char(json->out, '"');
    out_hex(json->out, address);
    out_char(json->out, '"');
}

void json_string(struct json *json, const char *key, const char *text) {
    begin(json, key);
    quoted(json->out, text);
}

void json_bytes(struct json *json, const char *key, const void *bytes, size_t length) {
    const unsigned char *byte = bytes;
    begin(json, key);
    out_char(json->out, '"');
    for (size_t i = 0; i < length; i++) {
        char pair[2] = {"0123456789abcdef"[byte[i] >> 4], "0123456789abcdef"[byte[i] & 0xf]};
        out_bytes(json->out, pair, 2);
    }
    out_char(json->out, '"');
}

void json_bool(struct json *json, const char *key, bool value) {
    begin(json, key);
    out_text(json->out, value ? "true" : "false");
}

void json_null(struct json *json, const char *key) {
    begin(json, key);
    out_text(json->out, "null");
}
