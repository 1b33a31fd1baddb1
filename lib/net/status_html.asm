; SPDX-License-Identifier: MIT
; The status page, as it stands in status.html.
section .rodata.status_html progbits alloc noexec nowrite align=8
global status_html, status_html_end
status_html:
        incbin "lib/net/status.html"
status_html_end:
