// What agents and clients are told to do: all settings at once, by service and environment.

import { send } from './client';
import type { components } from './generated/schema';

export type AgentSettings = components['schemas']['ClientSettings'];
export type AgentSetting = components['schemas']['ClientSetting'];

const PATH = 'clients/settings';
const JSON_TYPE = 'application/json';

export const agentSettings = async (signal?: AbortSignal): Promise<AgentSettings> =>
  (await send(PATH, JSON_TYPE, signal)).json() as Promise<AgentSettings>;

/** Changes the settings as they are by now: others may have changed theirs meanwhile. */
export async function changeAgentSettings(change: (settings: AgentSetting[]) => AgentSetting[]): Promise<AgentSettings> {
  const { settings } = await agentSettings();
  return (await send(PATH, JSON_TYPE, undefined, change(settings), 'PUT')).json() as Promise<AgentSettings>;
}
