// Logical threads: real threads of which exactly one runs at a time, chosen by the caller, so that
// a run depends on its input only.
#ifndef FUZZ_WORKERS_H
#define FUZZ_WORKERS_H

#define WORKERS 4u // number 0 is the calling thread itself

// Runs job(argument) on thread `number` and waits for it. The thread is made if it is not there.
void worker_run(unsigned number, void (*job)(void *), void *argument);

// Ends thread `number` (1 and up) if it is there; its exit hooks have run when this returns.
void worker_end(unsigned number);
void worker_end_all(void);

// In the child of a fork: the other threads are not there.
void workers_forget(void);

#endif
