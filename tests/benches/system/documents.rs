//! The documents that are pushed.

/// The package that every deployment is of.
pub(crate) const PACKAGE: &str = r#"{"name":"shop","version":"1.4.2","classes":[{"key":"Cart",
"state_spec":{"key_specs":[{"name":"items","key_type":"json"}],"persistent":true},
"function_bindings":[{"name":"add","function_key":"cart.add"},
{"name":"total","function_key":"cart.total","stateless":true}]}],
"functions":[{"key":"cart.add","provision_config":{"container_image":
"registry.example.com/shop/cart-add:1.4.2","cpu_request":"250m","memory_request":"64Mi","port":8080},
"config":{"LOG_LEVEL":"info"}},
{"key":"cart.total","provision_config":{"container_image":
"registry.example.com/shop/cart-total:1.4.2","min_scale":1,"max_scale":4}}]}"#;

/// A deployment on one cluster, of about 1 KiB as it is pushed.
pub(crate) fn deployment(key: &str, cluster: &str) -> String {
    let note = "the cart of the shop in the north, with its own model, tuned by hand in spring; ";
    format!(
        r#"{{"key":"{key}","package_name":"shop","class_key":"Cart","target_envs":["{cluster}"],
"nfr_requirements":{{"min_throughput_rps":200,"availability":0.995}},
"functions":[{{"function_key":"cart.add","description":"{long}",
"provision_config":{{"max_scale":4,"cpu_limit":2}},
"config":{{"MODEL":"plant-a","HORIZON_HOURS":"6","UPSTREAM":"http://prices.example.com:8080/v1"}}}}],
"odgm":{{"collections":["shop.cart"],"partition_count":12,"replica_count":2,"shard_type":"mst",
"options":{{"compaction":"true"}}}},
"telemetry":{{"enabled":true,"traces":true,"sampling_rate":0.05,"service_name":"{key}"}},
"labels":{{"site":"north","team":"checkout"}}}}"#,
        long = note.repeat(4).trim_end(),
    )
}
