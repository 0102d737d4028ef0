
#include <math.h>
#include "limit.h"


double
sim_allowed(unsigned n, double p)
{
    double    below, term;
    unsigned  k;

    if (p == 0) {
        return 0;
    }

    term = pow(1 - p, n);

    for (k = 0, below = term; below < 0.999 && k < n; k++) {
        term *= (n - k) / (k + 1.0) * p / (1 - p);
        below += term;
    }

    return k;
}


double
sim_divergence(double p, double q)
{
    return (p > 0 ? p * log(p / q) : 0)
           + (p < 1 ? (1 - p) * log((1 - p) / (1 - q)) : 0);
}


double
sim_divergence_relative(double p, double base, double split, double margin)
{
    double  d, least, t;

    for (least = 1e9, t = 1e-4; t < 0.999 - margin; t += 5e-5) {
        d = sim_divergence(p, t + margin) + split * sim_divergence(base, t);
        least = d < least ? d : least;
    }

    return least;
}


double
sim_limit(double nats, double rate, double before)
{
    double    m;
    unsigned  i;

    if (before == 0) {
        return log(1 / SIM_ALPHA) / nats;
    }

    for (i = 0, m = 1; i < 200; i++) {
        m = 0.5 * m
            + 0.5 * fmax(1e-9, log(fmax(1.0001, rate * SIM_HORIZON
                                                / (SIM_ALPHA * m)))
                               / nats);
    }

    return m;
}
