# The parts of the sidecar that need no socket and no thread.

SIDECAR_PARTS := address clock event flags fleet latch lift options reader \
                 sign state status status_flag text url window

SIDECAR       := $(SIDECAR_PARTS:%=$(BUILD)/sidecar_%.o)

$(BUILD)/test_sidecar_%.o $(BUILD)/fuzz_sidecar_%.o: \
    CFLAGS += -I../sidecar

$(BUILD)/sidecar_%.o: ../sidecar/%.c | $(BUILD)
	@$(CC) $(CFLAGS) -D_DEFAULT_SOURCE -I../sidecar -c $< -o $@

$(BUILD)/test_sidecar_%: $(BUILD)/test_sidecar_%.o $(SIDECAR) $(RULES) \
                         $(SUPPORT)
	@$(CC) $(SANITIZE) $(LDFLAGS) $^ -lcmocka -ljansson -lcrypto -lm -o $@

# The connection to Redis, with a server that is made up.

$(BUILD)/test_sidecar_link: $(BUILD)/test_sidecar_link.o \
                            $(BUILD)/sidecar_link.o $(BUILD)/sidecar_stream.o \
                            $(BUILD)/sidecar_tls.o $(SIDECAR) $(RULES) \
                            $(SUPPORT)
	@$(CC) $(SANITIZE) $(LDFLAGS) $^ -lhiredis -lssl -lcmocka -ljansson \
	    -lcrypto -lm -o $@

$(BUILD)/replay_sidecar_%: $(BUILD)/fuzz_sidecar_%.o $(BUILD)/replay.o \
                           $(SIDECAR) $(RULES)
	@$(CC) $(SANITIZE) $^ -ljansson -lcrypto -lm -o $@

$(BUILD)/fuzz_sidecar_%: fuzz/fuzz_sidecar_%.c $(wildcard ../canary/*.[ch]) \
                         $(SIDECAR_PARTS:%=../sidecar/%.c) fuzz/fuzz.h \
                         | $(BUILD)
	@$(CLANG) -std=c11 -g -O1 $(WARNINGS) -D_POSIX_C_SOURCE=200809L \
	    -D_DEFAULT_SOURCE -I../canary -I../sidecar \
	    -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
	    $(filter %.c,$^) -ljansson -lcrypto -lm -o $@
