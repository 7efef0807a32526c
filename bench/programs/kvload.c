// Drives a key-value server over a unix socket with a fixed sequence of commands, sent in groups
// so that the server, not the socket, is what takes the time. Only the server runs under the
// allocator named by BENCH_PRELOAD; it is a child, so its peak memory reaches the launcher.
// Arguments: SERVER COMMANDS KEYS
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../workloads/common.h"

enum { GROUP = 64, LONGEST = 2048, REPLY_ROOM = 1 << 16 };

struct reader {
    int fd;
    size_t used;
    size_t filled;
    uint64_t sum;
    char text[REPLY_ROOM];
};

extern char **environ;

static char folder[] = "/tmp/kvload-XXXXXX";
static char path[64];

static pid_t server_start(char *program) {
    char *arguments[] = {program,        (char[]){"--port"},
                         (char[]){"0"},  (char[]){"--unixsocket"},
                         path,           (char[]){"--save"},
                         (char[]){""},   (char[]){"--appendonly"},
                         (char[]){"no"}, (char[]){"--dir"},
                         folder,         (char[]){"--hz"},
                         (char[]){"1"},  NULL};
    const char *library = getenv("BENCH_PRELOAD");
    pid_t pid = 0;
    if (library != NULL && setenv("LD_PRELOAD", library, 1) != 0) {
        fail("the environment could not be set");
    }
    posix_spawn_file_actions_t actions;
    if (posix_spawn_file_actions_init(&actions) != 0 ||
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", 1, 0) != 0 ||
        posix_spawn(&pid, program, &actions, NULL, arguments, environ) != 0) {
        fail("the server could not be started; is it installed?");
    }
    posix_spawn_file_actions_destroy(&actions);
    return pid;
}

static int server_connect(pid_t pid) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct timespec pause = {0, 1000000};
    memcpy(address.sun_path, path, sizeof path);
    for (int i = 0; i < 5000; i++) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0) {
            return fd;
        }
        if (fd >= 0) {
            close(fd);
        }
        if (waitpid(pid, NULL, WNOHANG) == pid) {
            fail("the server ended before it answered");
        }
        nanosleep(&pause, NULL);
    }
    kill(pid, SIGKILL);
    fail("the server did not answer within five seconds");
    return -1;
}

static char reader_byte(struct reader *in) {
    if (in->used == in->filled) {
        ssize_t got = read(in->fd, in->text, sizeof in->text);
        if (got <= 0) {
            fail("the server closed the connection");
        }
        in->used = 0;
        in->filled = (size_t)got;
    }
    char c = in->text[in->used++];
    in->sum = (in->sum ^ (unsigned char)c) * 0x100000001b3u;
    return c;
}

// One reply: a status, a number, or a string with its length; an error is the end.
static void reader_reply(struct reader *in) {
    char kind = reader_byte(in);
    long value = 0;
    bool negative = false;
    for (char c = reader_byte(in); c != '\n'; c = reader_byte(in)) {
        if (c == '-') {
            negative = true;
        } else if (c >= '0' && c <= '9') {
            value = 10 * value + (c - '0');
        }
    }
    if (kind == '-') {
        fail("the server refused a command");
    }
    for (long i = 0; kind == '$' && !negative && i < value + 2; i++) {
        reader_byte(in);
    }
}

static void value_make(char *value, struct rng *r) {
    uint32_t length = rng_pareto(r, 16, LONGEST - 1);
    memset(value, 'a' + (int)(length % 26), length);
    value[length] = '\0';
}

// Half reads, and writes of strings, fields of hashes and ends of lists.
static int command_make(char *text, size_t room, struct rng *r, uint32_t keys) {
    char value[LONGEST];
    uint32_t key = rng_below(r, keys);
    switch (rng_below(r, 10)) {
    case 0:
    case 1:
    case 2:
        value_make(value, r);
        return snprintf(text, room, "SET k%" PRIu32 " %s\r\n", key, value);
    case 3:
        value_make(value, r);
        return snprintf(text, room, "HSET h%" PRIu32 " f%" PRIu32 " %s\r\n", key / 64, key, value);
    case 4:
        value_make(value, r);
        return snprintf(text, room, "RPUSH l%" PRIu32 " %s\r\n", key % 256, value);
    case 5:
        return snprintf(text, room, "LPOP l%" PRIu32 "\r\n", key % 256);
    case 6:
        return snprintf(text, room, "APPEND k%" PRIu32 " tail%" PRIu32 "\r\n", key, key);
    case 7:
        return snprintf(text, room, "DEL k%" PRIu32 "\r\n", key);
    default:
        return snprintf(text, room, "GET k%" PRIu32 "\r\n", key);
    }
}

static void send_all(int fd, const char *text, size_t length) {
    while (length > 0) {
        ssize_t put = write(fd, text, length);
        if (put <= 0) {
            fail("the server does not take commands any more");
        }
        text += put;
        length -= (size_t)put;
    }
}

static uint64_t drive(int fd, uint32_t commands, uint32_t keys) {
    static struct reader in;
    static char group[GROUP * (LONGEST + 64)];
    struct rng r = rng_seed(41);
    in.fd = fd;
    for (uint32_t done = 0; done < commands; done += GROUP) {
        size_t length = 0;
        for (int i = 0; i < GROUP; i++) {
            length += (size_t)command_make(group + length, LONGEST + 64, &r, keys);
        }
        send_all(fd, group, length);
        for (int i = 0; i < GROUP; i++) {
            reader_reply(&in);
        }
    }
    return in.sum;
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: %s SERVER COMMANDS KEYS\n", argv[0]);
        return 64;
    }
    uint32_t commands = argument(argc, argv, 2, 200000);
    uint32_t keys = argument(argc, argv, 3, 20000);
    if (mkdtemp(folder) == NULL) {
        fail("no folder could be made in /tmp");
    }
    snprintf(path, sizeof path, "%s/socket", folder);
    pid_t pid = server_start(argv[1]);
    int fd = server_connect(pid);
    uint64_t sum = drive(fd, commands, keys);
    send_all(fd, "SHUTDOWN NOSAVE\r\n", 17);
    int status = 0;
    if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        fail("the server did not end as it should");
    }
    unlink(path);
    rmdir(folder);
    return report(sum);
}
