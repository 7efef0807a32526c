// A ledger as OpenMetrics text, for Prometheus and whatever else reads it.
#ifndef LUCID_STATS_OPENMETRICS_H
#define LUCID_STATS_OPENMETRICS_H

#include "ledger.h"

void openmetrics_write(struct out *out, const struct session *session, const struct ledger *ledger);

#endif
