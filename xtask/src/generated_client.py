"""Uses a client that was generated from the server's description, against that server.

Arguments: the folder of the generated project, the server's URL.
"""

import sys
import time

folder, url = sys.argv[1:]
sys.path.insert(0, folder)

from oprc_pm_client import Client, models
from oprc_pm_client.api.clusters import get_cluster, list_cluster_health, list_clusters
from oprc_pm_client.api.deployments import (
    create_deployment,
    delete_deployment,
    get_deployment,
    list_deployments,
    replace_deployment,
)
from oprc_pm_client.api.observed import get_deployment_status, list_events, list_records
from oprc_pm_client.api.packages import (
    create_package,
    delete_package,
    get_package,
    list_classes,
    list_functions,
    list_packages,
)

client = Client(base_url=url, raise_on_unexpected_status=True)


def until(what, look, seconds=60):
    """Looks again and again until `look` finds something."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.2)
    sys.exit(f"waited too long for {what}")


def expect(answer, kind):
    """`answer`, which must be a `kind` and not a problem."""
    if not isinstance(answer, kind):
        sys.exit(f"want {kind.__name__}, not {answer!r}")
    return answer


package = models.PackageInput.from_dict(
    {
        "name": "generated",
        "version": "1.0.0",
        "classes": [{"key": "Counter", "function_bindings": [{"name": "add", "function_key": "add"}]}],
        "functions": [
            {
                "key": "add",
                "function_type": "CUSTOM",
                "provision_config": {"container_image": "example.org/counter:1"},
            }
        ],
    }
)
written = expect(create_package.sync(client=client, body=package), models.WrittenPackage)
assert written.name == "generated" and written.meta.generation == 1, written
read = expect(get_package.sync("generated", client=client), models.Package)
assert read.functions[0].function_type == models.FunctionType.CUSTOM, read

deployment = models.DeploymentInput.from_dict(
    {
        "key": "generated.counter",
        "package_name": "generated",
        "class_key": "Counter",
        "target_envs": ["edge-1"],
        "labels": {"made-by": "a-generated-client"},
    }
)
created = expect(create_deployment.sync(client=client, body=deployment), models.WrittenDeployment)
replaced = replace_deployment.sync_detailed(
    "generated.counter", client=client, body=deployment, if_match="*"
)
assert replaced.status_code == 200, replaced


def runs():
    status = expect(
        get_deployment_status.sync("generated.counter", client=client), models.DeploymentStatus
    )
    return status.condition == models.RunCondition.RUNNING and status


status = until("the deployment to run", runs)
assert status.key == "generated.counter" and status.clusters[0].cluster == "edge-1", status
expect(get_deployment.sync("generated.counter", client=client), models.Deployment)

found = expect(
    list_deployments.sync(
        client=client,
        label=["made-by=a-generated-client"],
        condition=models.RunCondition.RUNNING,
        limit=10,
    ),
    models.DeploymentPage,
)
assert [item.key for item in found.items] == ["generated.counter"], found
expect(list_packages.sync(client=client), models.PackagePage)
expect(list_classes.sync(client=client), models.ListedClassPage)
expect(list_functions.sync(client=client), models.ListedFunctionPage)
expect(list_records.sync(client=client), models.RecordPage)
expect(list_events.sync(client=client), models.EventPage)
expect(list_clusters.sync(client=client), models.ClusterPage)
expect(list_cluster_health.sync(client=client), models.ClusterHealthPage)
expect(get_cluster.sync("edge-1", client=client), models.Cluster)
refused = create_package.sync(client=client, body=models.PackageInput.from_dict({"name": "not a name"}))
assert expect(refused, models.Problem).code, refused

expect(delete_deployment.sync("generated.counter", client=client), models.WrittenDeployment)
gone = lambda: get_deployment.sync_detailed("generated.counter", client=client).status_code == 404
until("the deployment to go", gone)
expect(delete_package.sync("generated", client=client), models.WrittenPackage)
until("the package to go", lambda: get_package.sync_detailed("generated", client=client).status_code == 404)
print("the generated client created, listed, read and deleted")
