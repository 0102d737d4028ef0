
/* Many runs at once, in several processes. */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "runs.h"


#define RUNS_MAX  2000


typedef sim_result_t  run_t[SIM_RATES_MAX][SIM_METHODS];


static run_t     *runs;                     /* shared by the jobs */
static unsigned   jobs;


int
sim_runs_init(unsigned n)
{
    jobs = n;
    runs = mmap(NULL, RUNS_MAX * sizeof(run_t), PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (runs == MAP_FAILED) {
        perror("mmap");
        return -1;
    }

    return 0;
}


void
sim_runs(const sim_world_t *w, const double *rates, unsigned n, unsigned count)
{
    int       status;
    unsigned  i, job;

    for (job = 0; job < jobs; job++) {
        (void) fflush(stdout);

        switch (fork()) {

        case -1:
            perror("fork");
            exit(1);

        case 0:
            for (i = job; i < count; i += jobs) {
                sim_run(w, rates, n, 1000003 * (uint64_t) n + i, runs[i]);
            }

            _exit(0);
        }
    }

    for (job = 0; job < jobs; job++) {
        if (wait(&status) == -1 || status != 0) {
            (void) fprintf(stderr, "a simulation failed\n");
            exit(1);
        }
    }
}


static int
compare(const void *a, const void *b)
{
    double  x, y;

    x = *(const double *) a;
    y = *(const double *) b;

    return (x > y) - (x < y);
}


void
sim_summarize(sim_summary_t *s, unsigned rate, sim_method_e method,
    unsigned count)
{
    double               requests[RUNS_MAX], times[RUNS_MAX], sum, squares;
    unsigned             i, n;
    const sim_result_t  *r;

    memset(s, 0, sizeof(sim_summary_t));

    for (i = 0, n = 0, sum = 0, squares = 0; i < count; i++) {
        r = &runs[i][rate][method];

        if (r->early) {
            s->early++;
            continue;
        }

        times[n] = r->time >= 0 ? r->time : 1e18;
        requests[n++] = r->time >= 0 ? r->requests : 1e18;
        s->tripped += r->time >= 0;
        sum += r->time >= 0 ? r->requests : 0;
        squares += r->time >= 0 ? r->requests * r->requests : 0;
    }

    s->time = -1;

    if (s->tripped == 0) {
        return;
    }

    qsort(requests, n, sizeof(double), compare);
    qsort(times, n, sizeof(double), compare);

    s->mean = sum / s->tripped;
    s->error = sqrt(fmax(squares / s->tripped - s->mean * s->mean, 0)
                    / s->tripped);
    s->median = requests[n / 2];
    s->p95 = requests[n * 95 / 100];
    s->time = times[n / 2] < 1e17 ? times[n / 2] : -1;
    s->time95 = times[n * 95 / 100] < 1e17 ? times[n * 95 / 100] : -1;
}
