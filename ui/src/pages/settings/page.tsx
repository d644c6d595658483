// Settings of agents while they run: what of a service is traced and profiled.

import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Fragment, useId, useState } from 'react';

import { type AgentSetting, agentSettings, changeAgentSettings } from '../../api/settings';
import { api } from '../../api/client';
import { Skeleton } from '../../components/states';
import { useTitle } from '../../lib/title';
import { Problem } from '../loaded';
import { ANY, type Choice, type Draft, EMPTY, applied, besides, draftOf, faultOf, isSame } from './rows';
import './settings.css';

const QUERY_KEY = ['agent-settings'];

export function SettingsPage() {
  useTitle('Settings');
  const answer = useQuery({ queryKey: QUERY_KEY, queryFn: ({ signal }) => agentSettings(signal) });
  const services = useQuery({ queryKey: ['palette'], queryFn: ({ signal }) => api.services({ from: 'now-7d', to: 'now' }, signal) });
  const names = (services.data?.data ?? []).map((service) => service.name);
  const environments = [...new Set((services.data?.data ?? []).flatMap((service) => service.env))];
  const listId = useId();
  return (
    <div className="page settings" data-testid="settings-page">
      <h1>Settings of agents</h1>
      <p className="muted">
        Agents follow these while they run, with their next export and at the latest after a minute; Datadog’s clients within seconds. What is
        left as it is, each process has by itself. Of several that fit, what is said of the service counts more than what is said of the environment.
      </p>
      <datalist id={`${listId}-services`}>
        {names.map((name) => (
          <option key={name} value={name} />
        ))}
      </datalist>
      <datalist id={`${listId}-environments`}>
        {environments.map((name) => (
          <option key={name} value={name} />
        ))}
      </datalist>
      {answer.isSuccess ? (
        <SettingsTable settings={answer.data.settings} listId={listId} />
      ) : answer.isPending ? (
        <Skeleton height={160} />
      ) : (
        <Problem error={answer.error} retry={() => void answer.refetch()} />
      )}
    </div>
  );
}

function SettingsTable({ settings, listId }: { settings: AgentSetting[]; listId: string }) {
  return (
    <table aria-label="Settings of agents">
      <thead>
        <tr>
          <th>Service</th>
          <th>Environment</th>
          <th>Traces kept</th>
          <th>Tracing</th>
          <th>Profiling</th>
          <th>Samples a second</th>
          <th className="extra">Datadog’s clients also</th>
          <th>
            <span className="visually-hidden">Changes</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {settings.map((setting) => (
          <SettingRow key={`${setting.service ?? ANY}\n${setting.env ?? ANY}`} setting={setting} listId={listId} others={settings} />
        ))}
        {/* A new one begins empty once the last is there. */}
        <SettingRow key={`new ${settings.length}`} listId={listId} others={settings} />
      </tbody>
    </table>
  );
}

interface RowProps {
  /** What is in force; nothing for one that is to be made. */
  setting?: AgentSetting;
  others: AgentSetting[];
  listId: string;
}

function SettingRow({ setting, others, listId }: RowProps) {
  const client = useQueryClient();
  const kept = setting ? draftOf(setting) : EMPTY;
  const [changes, setChanges] = useState<Partial<Draft>>({});
  const draft = { ...kept, ...changes };
  const isChanged = (Object.keys(draft) as (keyof Draft)[]).some((key) => draft[key] !== kept[key]);
  const isTaken = !setting && others.some((other) => isSame(other, draft));
  const fault = !isChanged ? null : isTaken ? 'There is a setting for this service and environment already; change that one.' : faultOf(draft);

  const write = useMutation({
    mutationFn: changeAgentSettings,
    onSuccess: (now) => {
      setChanges({});
      client.setQueryData(QUERY_KEY, now);
    },
  });
  const apply = () =>
    write.mutate((current) => {
      const before = current.find((other) => isSame(other, draft));
      const next = applied(draft, before);
      return before ? current.map((other) => (other === before ? next : other)) : [...current, next];
    });
  const remove = () => write.mutate((current) => current.filter((other) => !isSame(other, kept)));

  const field = (key: 'service' | 'env' | 'share' | 'rate', label: string, placeholder: string, list?: string) => (
    <input
      aria-label={label}
      value={draft[key]}
      placeholder={placeholder}
      list={list}
      inputMode={list ? undefined : 'decimal'}
      size={list ? 16 : 4}
      onChange={(event) => setChanges({ ...changes, [key]: event.target.value })}
      onKeyDown={(event) => {
        if (event.key === 'Enter' && isChanged && !fault) apply();
        else if (event.key === 'Escape') setChanges({});
      }}
    />
  );
  const choices = (key: 'tracing' | 'profiling', label: string) => (
    <select aria-label={label} value={draft[key]} onChange={(event) => setChanges({ ...changes, [key]: event.target.value as Choice })}>
      <option value="">as is</option>
      <option value="on">on</option>
      <option value="off">off</option>
    </select>
  );
  const whose = setting ? `${kept.service === ANY ? 'all services' : kept.service}${kept.env === ANY ? '' : ` in ${kept.env}`}` : 'the new setting';

  return (
    <Fragment>
      <tr>
        <td>{setting ? <b>{kept.service === ANY ? 'all' : kept.service}</b> : field('service', 'Service', 'all services', `${listId}-services`)}</td>
        <td>{setting ? kept.env === ANY ? 'all' : kept.env : field('env', 'Environment', 'all environments', `${listId}-environments`)}</td>
        <td>{field('share', `Percent of the traces of ${whose}`, 'as is')} %</td>
        <td>{choices('tracing', `Tracing of ${whose}`)}</td>
        <td>{choices('profiling', `Profiling of ${whose}`)}</td>
        <td>{field('rate', `Samples a second of ${whose}`, 'as is')}</td>
        <td className="muted extra wide">{(setting && besides(setting)) || '–'}</td>
        <td className="actions">
          {isChanged && (
            <>
              <button type="button" disabled={fault !== null || write.isPending} onClick={apply}>
                {setting ? 'Apply' : 'Add'}
              </button>
              <button type="button" onClick={() => setChanges({})}>
                Discard
              </button>
            </>
          )}
          {setting && !isChanged && (
            <button type="button" disabled={write.isPending} onClick={remove} aria-label={`Remove the setting of ${whose}`}>
              Remove
            </button>
          )}
        </td>
      </tr>
      {(fault !== null || write.isError) && (
        <tr>
          <td colSpan={8} role="alert" className="bad">
            {fault ?? `Not changed: ${write.error?.message}`}
          </td>
        </tr>
      )}
    </Fragment>
  );
}
