# nginx agent canary: build, test, demo.  `make help` lists the targets.

SHELL           = /bin/bash
.DEFAULT_GOAL   = help

# Another nginx tree: NGINX_SRC=dir, configured with NGINX_CONFIGURE; its
# flags have to match those of the nginx that will load the module.

NGINX_SRC       ?= /usr/share/nginx/src
NGINX_CONFIGURE ?= --with-compat --with-http_ssl_module \
                   --with-http_v2_module
BUILD           ?= build
CFLAGS          ?= -g -O3 -flto -fno-plt -fstack-protector-strong -Wformat \
                   -Werror=format-security -Wextra -Wno-unused-parameter
LDFLAGS         ?= -O3 -flto -fno-plt -Wl,-z,relro -Wl,-z,now

MODULES_DIR     ?= /usr/lib/nginx/modules
SBINDIR         ?= /usr/sbin

BUILD_DIR       := $(abspath $(BUILD))

# make takes a blank for the end of a name: `make clean` would remove another
# directory.

ifneq ($(words $(BUILD_DIR)),1)
$(error the path "$(BUILD_DIR)" holds a blank, expected one without)
endif

MODULE          := $(BUILD_DIR)/ngx_agent_canary_module.so
SIDECAR         := $(BUILD_DIR)/agent-canaryd
SOURCES         := $(wildcard canary/*.[ch] ngx_agent_canary_module/*) config
SIDECAR_SOURCES := $(wildcard canary/*.[ch] sidecar/*)

.PHONY: help build demo up down test docker-test sanitize bench install lint
.PHONY: fuzz format clean FORCE


help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile \
	    | while IFS=$$'\t' read -r name text; do \
	          printf '  make %-11s %s\n' "$$name" "$$text"; done

build: $(MODULE) $(SIDECAR) ## build the nginx module and agent-canaryd

# what the last build was made of: another nginx needs another one

$(BUILD_DIR)/settings: export SETTINGS = $(NGINX_SRC) $(NGINX_CONFIGURE) \
                                         $(CFLAGS) $(LDFLAGS)
$(BUILD_DIR)/settings: FORCE
	@mkdir -p $(BUILD_DIR)
	@cmp -s $@ <(echo "$$SETTINGS") || echo "$$SETTINGS" > $@

$(BUILD_DIR)/nginx/Makefile: config $(BUILD_DIR)/settings
	@.ci/packages build
	@set -e; root=$$PWD; cd $(NGINX_SRC); \
	NGX_CONF_FLAGS=($(NGINX_CONFIGURE)); \
	if [ -f conf_flags ]; then . ./conf_flags; fi; \
	configure=configure; [ -f configure ] || configure=auto/configure; \
	if ! bash ./$$configure "$${NGX_CONF_FLAGS[@]}" \
	        --with-cc-opt='$(CFLAGS) -fPIC' --with-ld-opt='$(LDFLAGS) -fPIC' \
	        --builddir=$(BUILD_DIR)/nginx \
	        --add-dynamic-module="$$root" \
	        > $(BUILD_DIR)/configure.log 2>&1; \
	then cat $(BUILD_DIR)/configure.log; exit 1; fi

$(MODULE): $(BUILD_DIR)/nginx/Makefile $(SOURCES)
	@$(MAKE) --no-print-directory -C $(NGINX_SRC) -f $< modules \
	    > $(BUILD_DIR)/make.log 2>&1 || { cat $(BUILD_DIR)/make.log; exit 1; }
	@cp $(BUILD_DIR)/nginx/ngx_agent_canary_module.so $@.tmp
	@mv $@.tmp $@
	@echo "built $(patsubst $(CURDIR)/%,%,$@)"

$(SIDECAR): $(SIDECAR_SOURCES) | $(BUILD_DIR)/nginx/Makefile
	@$(MAKE) -s --no-print-directory -C sidecar BUILD=$(BUILD_DIR)
	@touch $@

demo: ## a whole rollout on this machine, told in less than a minute
	@.ci/packages demo
	@$(MAKE) -s --no-print-directory build
	@TEST_CANARY_MODULE=$(MODULE) AGENT_CANARYD=$(SIDECAR) demo/run

up: ## a stack to play with in the background (TRAFFIC=questions a second)
	@.ci/packages demo
	@$(MAKE) -s --no-print-directory build
	@TEST_CANARY_MODULE=$(MODULE) AGENT_CANARYD=$(SIDECAR) \
	    demo/stack up $(TRAFFIC)

down: ## stop it
	@demo/stack down

test: ## run every test
	@.ci/packages test
	@$(MAKE) -s --no-print-directory build
	@$(MAKE) -s --no-print-directory -C lua-free-tests test
	@.ci/test

docker-test: ## build the images and run their stack, without Docker
	@.ci/packages docker
	@docker/test

sanitize: ## the suite under ASan and UBSan, with two builds of nginx
	@.ci/packages sanitize
	@.ci/sanitize

bench: ## measure what it costs, beside its peers (PART=flip: only that)
	@bench/run --check $(PART)
	@.ci/packages bench
	@$(MAKE) -s --no-print-directory build
	@TEST_CANARY_MODULE=$(MODULE) AGENT_CANARYD=$(SIDECAR) bench/run $(PART)

install: build ## install both (DESTDIR=, MODULES_DIR=, SBINDIR=)
	install -d $(DESTDIR)$(MODULES_DIR)
	install -m 644 $(MODULE) $(DESTDIR)$(MODULES_DIR)/$(notdir $(MODULE)).new
	mv $(DESTDIR)$(MODULES_DIR)/$(notdir $(MODULE)).new \
	    $(DESTDIR)$(MODULES_DIR)/$(notdir $(MODULE))
	install -d $(DESTDIR)$(SBINDIR)
	install -m 755 $(SIDECAR) $(DESTDIR)$(SBINDIR)/$(notdir $(SIDECAR)).new
	mv $(DESTDIR)$(SBINDIR)/$(notdir $(SIDECAR)).new \
	    $(DESTDIR)$(SBINDIR)/$(notdir $(SIDECAR))

lint: $(BUILD_DIR)/nginx/Makefile ## run every checker, expect no finding
	@.ci/packages lint
	@.ci/debian package sid libtest-nginx-perl build/perl5
	@NGINX_SRC=$(NGINX_SRC) .ci/lint $(BUILD_DIR)

fuzz: ## look for new crashes in every parser (FUZZ_SECONDS= for each)
	@.ci/packages fuzz
	@$(MAKE) --no-print-directory -C lua-free-tests fuzz

format: ## mend blanks, tabs and line ends in C sources
	@.ci/style --fix $$(git ls-files '*.c' '*.h')

clean: ## remove what was built
	@[ ! -e $(BUILD_DIR)/up/processes ] || demo/stack down
	rm -rf $(BUILD_DIR)
