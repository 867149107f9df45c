import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { ResourceUpdatedNotificationSchema } from "@modelcontextprotocol/sdk/types.js";

const [command, url] = process.argv.slice(2);
const URI = "artifact:///plan.md";
const connected = async (agent) => {
  const client = new Client({ name: "typescript", version: "1" });
  await client.connect(new StdioClientTransport({ command, args: [url, "--agent", agent] }));
  return client;
};
const [coder, planner] = [await connected("coder"), await connected("planner")];
const said = async (client, name, given) => {
  const answer = await client.callTool({ name, arguments: given });
  return `${answer.isError ? "error " : ""}${answer.content[0].text}`;
};
const { tools } = await coder.listTools();
console.log(tools.map((tool) => tool.name).join(" "));
console.log(await said(coder, "write_artifact", { name: "plan.md", text: "one\n" }));
const heard = new Promise((resolve) => {
  coder.setNotificationHandler(ResourceUpdatedNotificationSchema, ({ params }) => resolve(params.uri));
});
await coder.subscribeResource({ uri: URI });
console.log(await said(planner, "write_artifact", { name: "plan.md", text: "two\n", expect: "plan.md@1" }));
console.log("heard", await heard);
console.log(await said(coder, "write_artifact", { name: "plan.md", text: "three\n", expect: "plan.md@1" }));
const { contents } = await coder.readResource({ uri: URI });
console.log(contents[0].text, contents[0]._meta["coherence/ref"]);
await coder.close();
await planner.close();
