// How many failed, in a table: marked by more than its colour when any did.

import { percent } from '../lib/format';

export function FailedCell({ errors, share }: { errors: number; share: number | null }) {
  return <td className={`num ${errors > 0 ? 'bad' : ''}`}>{errors > 0 ? `▲ ${percent(share)}` : percent(share)}</td>;
}
