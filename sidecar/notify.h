
/* What systemd wants to know of a service: sd_notify(3) without its library */


#ifndef CANARYD_NOTIFY_H
#define CANARYD_NOTIFY_H


/* "READY=1", "STOPPING=1", "WATCHDOG=1": nothing without $NOTIFY_SOCKET. */

void canaryd_notify(const char *state);


#endif /* CANARYD_NOTIFY_H */
