
/* The threads; each one is given the canaryd_t and runs until d->stop. */


#ifndef CANARYD_THREADS_H
#define CANARYD_THREADS_H


void *canaryd_scraper(void *data);          /* reads the status of nginx */
void *canaryd_poster(void *data);           /* posts trips to nginx */
void *canaryd_redis(void *data);            /* the fleet, trips and audit */
void *canaryd_webhook(void *data);
void *canaryd_saver(void *data);            /* writes the state file */


#endif /* CANARYD_THREADS_H */
