#include "target.h"

#include "corefile.h"
#include "gdbpipe.h"
#include "launch.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void close_core(struct core *core) {
    for (size_t i = 0; i < core->file_count; i++) {
        free(core->files[i].path);
        if (core->files[i].fd >= 0) {
            close(core->files[i].fd);
        }
    }
    if (core->fd >= 0) {
        close(core->fd);
    }
    free(core->files);
    free(core->segments);
    free(core);
}

void target_close(struct target *target) {
    target_thaw(target);
    if (target->core_data != NULL) {
        close_core(target->core_data);
    }
    if (target->launch != NULL) {
        launch_finish(target->launch);
        free(target->launch);
    }
    free(target->gdb);
    if (target->memory_fd >= 0) {
        close(target->memory_fd);
    }
    regions_free(&target->regions);
    free(target->threads);
    memset(target, 0, sizeof(*target));
    target->memory_fd = -1;
}
