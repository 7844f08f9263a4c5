/* Every struct that crosses the module ABI, in one library with debugging information: what abidiff
 * compares with the shape that was recorded. */
#include "imctl/module.h"

#define SURFACE(name) \
  IMCTL_EXPORT void surface_##name(const name* value) { (void)value; }

SURFACE(imctl_str)
SURFACE(imctl_status)
SURFACE(imctl_error)
SURFACE(imctl_buffer)
SURFACE(imctl_context)
SURFACE(imctl_method)
SURFACE(imctl_settings)
SURFACE(imctl_module)
SURFACE(imctl_host)
SURFACE(imctl_call_events)
SURFACE(imctl_call_table)
SURFACE(imctl_metadata)
SURFACE(imctl_client_options)
SURFACE(imctl_client_events)
SURFACE(imctl_client_table)
SURFACE(imctl_pool_table)
SURFACE(imctl_metrics_table)
SURFACE(imctl_json_table)
SURFACE(imctl_health_table)
SURFACE(imctl_handover_table)
SURFACE(imctl_settings_table)
SURFACE(imctl_state_table)

IMCTL_EXPORT void surface_enums(enum imctl_code code, enum imctl_principal_kind kind,
                                enum imctl_context_flag flag, enum imctl_log_level level,
                                enum imctl_metric_kind metric) {
  (void)code, (void)kind, (void)flag, (void)level, (void)metric;
}
