/* stepped_parts.h: what the files of the stepped process share. */
#ifndef SHMGATE_TESTS_SWEEP_STEPPED_PARTS_H
#define SHMGATE_TESTS_SWEEP_STEPPED_PARTS_H

#include "gateway.h"
#include "shared_memory.h"
#include "stepped.h"

extern const char *stepped_segment;
extern uint32_t stepped_writer;           /* who this process is as a writer */
extern struct shared_memory *stepped_shm; /* its attachment */
extern int stepped_handover;              /* enum handover_kind */

/* A violation unless it holds; `rc` is what the call before returned. */
void stepped_expect(int holds, const char *what, int rc);

int stepped_attach(void);

/* stepped_read.c */
int stepped_prepare_reader_newest(void);
int stepped_prepare_reader_empty(void);
int stepped_prepare_reader_inward(void);
int stepped_act_read(void);
int stepped_act_peek(void);
int stepped_act_latest(void);
void stepped_finish_read(int rc);
void stepped_finish_read_empty(int rc);
void stepped_finish_read_inward(int rc);
void stepped_finish_peek(int rc);
void stepped_finish_latest(int rc);

/* stepped_handover.c */
int stepped_prepare_handover(void);
int stepped_prepare_finish_old(void);
int stepped_prepare_name_lost(void);
int stepped_prepare_bell_lost(void);
int stepped_act_handover(void);
int stepped_act_finish_old(void);
int stepped_act_lost(void);
void stepped_finish_handover(int rc);

/* stepped_gateway.c */
int stepped_act_serve(void);
int stepped_prepare_gateway(void);
int stepped_act_ledger(void);
int stepped_act_inward(void);
int stepped_act_remove(void);
void stepped_finish_serve(int rc);
void stepped_finish_gateway(int rc);
void stepped_finish_remove(int rc);

#endif
