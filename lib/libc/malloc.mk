# SPDX-License-Identifier: MIT
# malloc: musl's mallocng, copied beside our glue. Nothing of it is changed.

MALLOC_DIR  := $(BUILD)/malloc
MALLOC_SRCS := $(patsubst %,$(MALLOC_DIR)/%.c,aligned_alloc free malloc malloc_usable_size realloc)
MALLOC_OBJS := $(MALLOC_SRCS:.c=.o) $(OBJ)/lib/libc/malloc.c.o $(OBJ)/lib/libc/malloc_trim.c.o

$(MALLOC_DIR)/.copied: $(SHARED)/musl-src/.unpacked lib/libc/malloc_glue.h
	@mkdir -p $(MALLOC_DIR)/sys
	@cp $(MALLOC_SRCS:$(MALLOC_DIR)/%=$(SHARED)/musl-src/src/malloc/mallocng/%) \
		$(SHARED)/musl-src/src/malloc/mallocng/meta.h $(MALLOC_DIR)
	@cp lib/libc/malloc_glue.h $(MALLOC_DIR)/glue.h
	@: >$(MALLOC_DIR)/sys/mman.h
	@touch $@

# The empty recipe makes make look again at how old they are.
$(MALLOC_SRCS): $(MALLOC_DIR)/.copied ;

# Its functions try once; lib/libc/malloc.c has those that try again when memory came back.
MALLOC_NAMES := -Dmalloc=malloc_once -Drealloc=realloc_once -Daligned_alloc=aligned_alloc_once -Dfree=free_once

# The mallocng sources are another house's: its warnings are not ours.
MALLOC_FLAGS = $(filter-out -O2 -Wall -Wextra,$(APP_FLAGS)) $(OPTIMIZE) $(APP_INCLUDES) -mgeneral-regs-only

$(MALLOC_DIR)/%.o: $(MALLOC_DIR)/%.c lib/libc/malloc.mk $(FLAGS) | $(NEWLIB)
	$(Q)$(CC) $(MALLOC_FLAGS) $(MALLOC_NAMES) -w -I$(MALLOC_DIR) -c -o $@ $<

$(OBJ)/lib/libc/malloc.c.o: KERNEL_FLAGS = $(MALLOC_FLAGS) $(WARNINGS)
$(OBJ)/lib/libc/malloc.c.o: | $(NEWLIB)
$(OBJ)/lib/libc/malloc_trim.c.o: KERNEL_FLAGS = $(MALLOC_FLAGS) $(WARNINGS) -Wno-sign-compare -I$(MALLOC_DIR)
$(OBJ)/lib/libc/malloc_trim.c.o: $(MALLOC_DIR)/.copied | $(NEWLIB)
