#include "ask.h"

#include "silence.h"
#include "util/human.h"
#include "util/memory.h"
#include "util/typed.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define POLL_MS 5u
#define SIGNAL_MS 100u // a signal may meet a thread that is just about to start or end the helper
#define SECOND 1000000000u

static void nap(unsigned milliseconds) {
    const struct timespec time = {.tv_sec = 0, .tv_nsec = (long)milliseconds * 1000000};
    nanosleep(&time, NULL);
}

static void say_ended(const struct target *target) {
    say("%s has ended before it could answer", target->label);
}

// ---- may it be asked at all? --------------------------------------------------------------------

static bool is_secure(pid_t pid) {
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/auxv", (int)pid);
    size_t length = 0;
    char *bytes = memory_file(path, &length);
    bool secure = false;
    Elf64_auxv_t entry;
    for (size_t at = 0; bytes != NULL && at + sizeof(entry) <= length; at += sizeof(entry)) {
        memcpy(&entry, bytes + at, sizeof(entry));
        secure = secure || (entry.a_type == AT_SECURE && entry.a_un.a_val != 0);
    }
    free(bytes);
    return secure;
}

static bool is_unaware_child(const struct target *target, const struct reader *reader) {
    struct fork_page page;
    return reader->live.fork_page != NULL &&
           view_read(&target->view, (uint64_t)(uintptr_t)reader->live.fork_page, &page,
                     sizeof(page)) &&
           page.known == 0;
}

static bool is_allowed(const struct target *target, const struct reader *reader) {
    bool closed = reader->live.request.state == REQUEST_CLOSED;
    if (strcmp(reader->fixed.library_version, LUCID_VERSION_TEXT) != 0 ||
        reader->fixed.layout.size_live != sizeof(struct root_live)) {
        say("%s runs lucid %s and this is another build, %s; use the command that belongs to it",
            target->label, reader->fixed.library_version, LUCID_VERSION_TEXT);
    } else if (closed && is_secure(target->alive)) {
        say("%s runs with more rights than its user (set-user-ID), so it ignores LUCID_OPTIONS and "
            "cannot be told anything",
            target->label);
    } else if (closed) {
        say("%s does not allow it; start it with LUCID_OPTIONS=ctl=1", target->label);
    } else if (is_unaware_child(target, reader)) {
        say("%s is the child of a fork and has not called the allocator since: what it has is its "
            "parent's; ask the parent, or ask again later",
            target->label);
    } else {
        return true;
    }
    return false;
}

// The list of mappings ends with the process, and only those can open it who may look into the
// process: anyone could lock its folder in /proc, and so keep all others from asking.
static int lock_process(struct target *target, unsigned patience) {
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/maps", (int)target->alive);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        target_refused(target, "the list of mappings", errno);
        say("%s", target->obstacle);
        return -1;
    }
    uint64_t until = target_clock() + (uint64_t)patience * SECOND;
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (target_clock() > until) {
            say("another lucid ctl has been at work on %s for %u s; try again, or with a longer "
                "--timeout",
                target->label, patience);
            close(fd);
            return -1;
        }
        nap(POLL_MS);
    }
    return fd;
}

bool asker_open(struct asker *asker, struct target *target, const struct reader *reader,
                unsigned patience) {
    *asker = (struct asker){
        .target = target,
        .root = reader->root,
        .request =
            reader->root + reader->fixed.layout.offset_live + offsetof(struct root_live, request),
        .patience = patience,
        .process = -1,
        .lock = -1,
    };
    if (!is_allowed(target, reader)) {
        return false;
    }
    asker->process = (int)syscall(SYS_pidfd_open, target->pid, 0);
    if (asker->process < 0 && errno == ESRCH) {
        say_ended(target);
        return false;
    }
    asker->lock = lock_process(target, patience);
    return asker->lock >= 0;
}

void asker_close(struct asker *asker) {
    if (asker->lock >= 0) {
        close(asker->lock);
    }
    if (asker->process >= 0) {
        close(asker->process);
    }
}

// ---- asking -------------------------------------------------------------------------------------

static bool write_target(const struct asker *asker, size_t offset, const void *from,
                         size_t length) {
    struct iovec local = {.iov_base = (void *)(uintptr_t)from, .iov_len = length};
    struct iovec remote = {.iov_base = (void *)(uintptr_t)(asker->request + offset),
                           .iov_len = length};
    return process_vm_writev(asker->target->alive, &local, 1, &remote, 1, 0) == (ssize_t)length;
}

static bool write_state(const struct asker *asker, uint32_t state) {
    return write_target(asker, offsetof(struct request, state), &state, sizeof(state));
}

// The state comes last: the process may look at any time.
static bool write_wish(const struct asker *asker, const struct wish *wish, uint64_t id) {
    struct request request = {
        .id = id, .action = wish->action, .option = wish->option, .value = wish->value};
    size_t from = offsetof(struct request, id);
    size_t to = offsetof(struct request, answered);
    return write_target(asker, from, &request.id, to - from) && write_state(asker, REQUEST_ASKED);
}

// The value tells the handler that the signal is not the program's. Number 0 only asks whether the
// process is still there.
static bool send_signal(const struct asker *asker, uint32_t number) {
    siginfo_t info = {0};
    info.si_signo = (int)number;
    info.si_code = SI_QUEUE;
    info.si_pid = getpid();
    info.si_uid = getuid();
    info.si_value.sival_ptr = (void *)(uintptr_t)asker->root;
    if (asker->process >= 0) {
        return syscall(SYS_pidfd_send_signal, asker->process, number, &info, 0) == 0;
    }
    return syscall(SYS_rt_sigqueueinfo, asker->target->pid, number, &info) == 0;
}

static uint64_t new_id(void) {
    uint64_t id = 0;
    if (getrandom(&id, sizeof(id), 0) != (ssize_t)sizeof(id)) {
        id = target_clock() ^ (uint64_t)getpid() << 32;
    }
    return id | 1;
}

static bool lost(const struct asker *asker) {
    int error = errno;
    if (error == ESRCH || !send_signal(asker, 0)) {
        say_ended(asker->target);
    } else {
        say("the memory of %s cannot be written (%s); %s", asker->target->label, strerror(error),
            typed_with_sudo());
    }
    return false;
}

// Asks if the request is not there, or not any more, and sends the signal now and then.
static bool press(const struct asker *asker, const struct wish *wish, uint64_t id,
                  const struct request *now, unsigned turn) {
    bool mine = now->id == id && now->state != REQUEST_OPEN;
    if (!mine && now->state != REQUEST_WORKS && !write_wish(asker, wish, id)) {
        return false;
    }
    return turn % (SIGNAL_MS / POLL_MS) != 0 || send_signal(asker, now->signal);
}

bool asker_ask(const struct asker *asker, const struct wish *wish, struct request *answer) {
    uint64_t id = new_id();
    uint64_t until = target_clock() + (uint64_t)asker->patience * SECOND;
    uint64_t nudges = 0;
    for (unsigned turn = 0;; turn++) {
        errno = 0;
        if (!view_read(&asker->target->view, asker->request, answer, sizeof(*answer))) {
            return lost(asker);
        }
        nudges = turn == 0 ? answer->nudges : nudges;
        if (answer->state == REQUEST_ANSWERED && answer->answered == id) {
            return true;
        }
        if (target_clock() > until) {
            (void)write_state(asker, REQUEST_OPEN); // nobody waits for it any more
            silence_explain(asker->target, answer->signal, answer->nudges > nudges,
                            asker->patience);
            return false;
        }
        if (!press(asker, wish, id, answer, turn)) {
            return lost(asker);
        }
        nap(POLL_MS);
    }
}
