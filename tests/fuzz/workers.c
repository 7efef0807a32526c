#include "workers.h"

#include "fail.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stddef.h>

struct worker {
    pthread_t thread;
    bool alive;
    sem_t go;
    sem_t done;
    void (*job)(void *); // NULL: end
    void *argument;
};

static struct worker workers[WORKERS];

static void *work(void *argument) {
    struct worker *worker = argument;
    for (;;) {
        while (sem_wait(&worker->go) != 0) {
        }
        if (worker->job == NULL) {
            return NULL;
        }
        worker->job(worker->argument);
        (void)sem_post(&worker->done);
    }
}

static void begin(struct worker *worker) {
    (void)sem_init(&worker->go, 0, 0);
    (void)sem_init(&worker->done, 0, 0);
    if (pthread_create(&worker->thread, NULL, work, worker) != 0) {
        fail("cannot make a thread");
    }
    worker->alive = true;
}

void worker_run(unsigned number, void (*job)(void *), void *argument) {
    if (number == 0) {
        job(argument);
        return;
    }
    struct worker *worker = &workers[number];
    if (!worker->alive) {
        begin(worker);
    }
    worker->job = job;
    worker->argument = argument;
    (void)sem_post(&worker->go);
    while (sem_wait(&worker->done) != 0) {
    }
}

void worker_end(unsigned number) {
    struct worker *worker = &workers[number];
    if (number == 0 || !worker->alive) {
        return;
    }
    worker->job = NULL;
    (void)sem_post(&worker->go);
    (void)pthread_join(worker->thread, NULL);
    worker->alive = false;
}

void worker_end_all(void) {
    for (unsigned i = 1; i < WORKERS; i++) {
        worker_end(i);
    }
}

void workers_forget(void) {
    for (unsigned i = 1; i < WORKERS; i++) {
        workers[i].alive = false;
    }
}
