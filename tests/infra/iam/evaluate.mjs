// Requests as JSON on stdin, the engine's verdicts as JSON on stdout, in the same order.
//
// This release takes every kms:EncryptionContext:<name> for one key without a name, and then ignores it. A request tag is
// compared in the same way and by its name, so each stands for one here, in policies and requests alike.
import { runSimulation } from '@cloud-copilot/iam-simulate'

let text = ''
for await (const part of process.stdin) text += part
text = text.replace(/kms:EncryptionContext:([A-Za-z0-9_:-]+)/g, (_, name) => `aws:RequestTag/context-${name.replaceAll(':', '-')}`)
const verdicts = []
for (const simulation of JSON.parse(text)) {
  const found = await runSimulation(simulation, {})
  verdicts.push({ type: found.resultType, errors: found.errors ?? null, result: found.overallResult ?? null })
}
process.stdout.write(JSON.stringify(verdicts))
