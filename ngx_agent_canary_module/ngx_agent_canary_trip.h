
/*
 * POST .../trip: a rollback that needs no Redis.
 */


#ifndef _NGX_AGENT_CANARY_TRIP_H_INCLUDED_
#define _NGX_AGENT_CANARY_TRIP_H_INCLUDED_


#include "ngx_agent_canary_module.h"


extern ngx_str_t  ngx_agent_canary_trip_name;


/* Takes the request over; answers {"applied": true}, or false when a trip
 * that this one does not beat holds already. */

ngx_int_t ngx_agent_canary_trip(ngx_http_request_t *r);


#endif /* _NGX_AGENT_CANARY_TRIP_H_INCLUDED_ */
