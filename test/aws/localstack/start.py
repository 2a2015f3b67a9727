"""
LocalStack's S3 and DynamoDB on this machine: without Docker, and nothing is downloaded while it runs.

LocalStack answers DynamoDB by handing the requests to DynamoDB Local, which it would download, with a Java of its own and
a patch for tables of more than 20 indexes. Here it is given the DynamoDB Local that the tests already have.

    python start.py <directory with DynamoDB Local's jars>
"""

import os
import sys

from localstack.runtime.main import main
from localstack.services.dynamodb import server

libraries = sys.argv.pop(1)


class Installed:
    def get_installer(self):
        return self

    def install(self):
        pass

    def get_java_env_vars(self):
        return {"PATH": os.environ["PATH"]}


def command(running):
    main_class = "com.amazonaws.services.dynamodbv2.local.main.ServerRunner"
    options = [f"-Djava.library.path={libraries}", "-Xmx512m", "-cp", os.path.join(libraries, "*"), main_class]
    return ["java", *options, "-inMemory", "-disableTelemetry", "-port", str(running.port)]


server.dynamodblocal_package = Installed()
server.DynamodbServer._create_shell_command = command
main()
