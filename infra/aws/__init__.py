"""The AWS side: the CDK app, its stacks and constructs, and the gates that read finished templates."""
