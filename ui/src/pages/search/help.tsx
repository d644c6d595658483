// The search language on one page.

import { Dialog } from '../../components/dialog';

const HELP: [string, string][] = [
  ['service:flaskr', 'spans of a service'],
  ['name:"POST /create"', 'spans by name; * stands for anything: name:*create*'],
  ['name:/^(GET|HEAD)\\s/', 'a regular expression between slashes'],
  ['duration:>100ms', 'longer than; <, >=, <= and duration:[100ms TO 1s] as well'],
  ['status:error', 'failed spans; also ok, unset'],
  ['kind:client', 'internal, server, client, producer, consumer'],
  ['http.status:5xx', 'any attribute, by its name; http.route:* when it is there'],
  ['is:root  is:entry', 'first spans of a trace; where work enters a service'],
  ['a b   a OR b   -a', 'both; either; not. Parentheses group.'],
  ['timeout', 'a bare word: in names, messages and attribute values'],
  ['{a} >> {b}', 'a b somewhere below an a; > for its child, << and < upwards, ~ beside'],
  ['a | count() > 50', 'traces with many of them; sum, avg, max, min of duration too'],
];

export function Help({ onClose }: { onClose: () => void }) {
  return (
    <Dialog label="Search language" onClose={onClose}>
      <h1>What can be asked</h1>
      <div className="keys">
        {HELP.map(([example, what]) => [<code key={example}>{example}</code>, <span key={what}>{what}</span>])}
      </div>
    </Dialog>
  );
}
